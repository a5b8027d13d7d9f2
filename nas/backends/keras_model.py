"""Architecture -> keras.Model: an ordinary Functional model, one Keras layer for each layer of the list."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, assert_never

from nas.architecture import NORM_MOMENTUM, Architecture, Layer, Shape, Training
from nas.errors import SpaceError

if TYPE_CHECKING:
    import keras

__all__ = ["build_compiled_model", "build_model", "keras_layer", "optimizer"]


def build_model(architecture: Architecture, training: Training | None = None) -> keras.Model:
    """Build an untrained Keras model, with the augmentation that `training` asks for.

    Input (batch, *input_shape); output (batch, classes), (batch, 1) for binary, or (batch, height, width,
    classes) for segmentation, as probabilities. Initial weights follow `keras.utils.set_random_seed`.
    """
    import keras

    entry = keras.Input(architecture.input_shape, name="input")
    tensors: list[Any] = [apply_augmentation(entry, training) if training else entry]
    for layer in architecture.layers[1:]:
        tensors.append(apply_layer([tensors[place] for place in layer.inputs], layer))
    name = architecture.name if architecture.name.isidentifier() else "network"
    return keras.Model(entry, tensors[-1], name=name)


def apply_augmentation(x: Any, training: Training) -> Any:
    """Add random changes of the image (batch, height, width, channels).

    They act in training, not in `predict`, `evaluate` or an exported file; Keras has them act in a bare
    call `model(x)` too, unless it says `training=False`.
    """
    from keras import layers

    if training.flip:
        x = layers.RandomFlip("horizontal", name="augment_flip")(x)
    if training.rotation:
        x = layers.RandomRotation(training.rotation, name="augment_rotation")(x)
    if training.zoom:
        x = layers.RandomZoom(training.zoom, name="augment_zoom")(x)
    return x


def apply_layer(inputs: list[Any], layer: Layer) -> Any:
    """Apply the Keras layer that a layer of the list stands for to its input tensors."""
    from keras import layers

    class_name, arguments = keras_layer(layer, tuple(inputs[0].shape[1:]))
    made = getattr(layers, class_name)(**arguments, name=layer.name)
    return made(inputs if len(inputs) > 1 else inputs[0])


def keras_layer(layer: Layer, before: Shape) -> tuple[str, dict[str, Any]]:
    """Return the name of a layer's class in `keras.layers`, and the arguments of its constructor.

    `before` is the shape of the layer's first input.
    """
    rank = len(before) - 1
    match layer.kind:
        case "conv":
            return f"Conv{rank}D", {
                **_window(layer, filters=layer.filters),
                "dilation_rate": layer.dilation,
                "groups": layer.groups,
                "use_bias": layer.bias,
            }
        case "separable_conv":
            return f"SeparableConv{rank}D", {
                **_window(layer, filters=layer.filters),
                "dilation_rate": layer.dilation,
                "depth_multiplier": layer.depth_multiplier,
                "use_bias": layer.bias,
            }
        case "depthwise_conv":
            return f"DepthwiseConv{rank}D", {
                **_window(layer),
                "dilation_rate": layer.dilation,
                "depth_multiplier": layer.depth_multiplier,
                "use_bias": layer.bias,
            }
        case "transposed_conv":
            return f"Conv{rank}DTranspose", {**_window(layer, filters=layer.filters), "use_bias": layer.bias}
        case "dense":
            return "Dense", {"units": layer.filters}
        case "batch_norm":
            return "BatchNormalization", {"momentum": NORM_MOMENTUM}
        case "activation":
            return "Activation", {"activation": layer.function}
        case "max_pool" | "average_pool":
            name = "MaxPooling" if layer.kind == "max_pool" else "AveragePooling"
            arguments = {"pool_size": layer.kernel_size, "strides": layer.stride, "padding": layer.padding}
            return f"{name}{rank}D", arguments
        case "global_average":
            return f"GlobalAveragePooling{rank}D", {"keepdims": layer.keep_dims}
        case "global_max":
            return f"GlobalMaxPooling{rank}D", {"keepdims": layer.keep_dims}
        case "flatten":
            return "Flatten", {}
        case "dropout":
            return "Dropout", {"rate": layer.rate}
        case "rescale":
            return "Rescaling", {"scale": 1 / 255}
        case "upsample":
            return f"UpSampling{rank}D", {"size": layer.stride, "interpolation": "bilinear"}
        case "crop":
            cut = tuple((0, old - new) for old, new in zip(before[:-1], layer.shape[:-1], strict=True))
            return f"Cropping{rank}D", {"cropping": cut}
        case "add":
            return "Add", {}
        case "multiply":
            return "Multiply", {}
        case "concat":
            return "Concatenate", {}
        case "input":
            raise AssertionError("the input of a network is a tensor, not a layer of Keras")
        case _:
            assert_never(layer.kind)


def _window(layer: Layer, **filters: int) -> dict[str, Any]:
    return {
        **filters, "kernel_size": layer.kernel_size, "strides": layer.stride, "padding": layer.padding
    }  # fmt: skip


def build_compiled_model(architecture: Architecture, training: Training) -> keras.Model:
    """Build a model and compile it with the optimizer, loss and metrics that its task calls for.

    Raises SpaceError for a network without a head.
    """
    if architecture.head is None:
        raise SpaceError("a network needs a head to be trained, got head: null; leave head out of the file")
    model = build_model(architecture, training)
    binary = architecture.task == "binary"
    model.compile(
        optimizer=optimizer(training),
        loss="binary_crossentropy" if binary else "sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    return model


def optimizer(training: Training) -> keras.optimizers.Optimizer:
    """Give the Keras optimizer that `training` names, at its constant learning rate."""
    import keras

    rate, decay = training.learning_rate, training.weight_decay
    match training.optimizer:
        case "adam":
            return keras.optimizers.Adam(rate)
        case "adamw":
            return keras.optimizers.AdamW(rate, weight_decay=decay)
        case "sgd":
            return keras.optimizers.SGD(rate, momentum=0.9, nesterov=True, weight_decay=decay or None)
        case "rmsprop":
            return keras.optimizers.RMSprop(rate)
