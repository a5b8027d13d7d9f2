"""Architecture -> keras.Model: an ordinary Functional model, one Keras layer for each layer of the list."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nas.architecture import NORM_MOMENTUM, Architecture, Layer, Training
from nas.errors import SpaceError

if TYPE_CHECKING:
    import keras

__all__ = ["build_compiled_model", "build_model", "optimizer"]


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

    x = inputs[0]
    rank = len(x.shape) - 2
    name = layer.name
    match layer.kind:
        case "conv" | "depthwise_conv" | "separable_conv" | "transposed_conv":
            return apply_conv(x, layer)
        case "dense":
            return layers.Dense(layer.filters, name=name)(x)
        case "batch_norm":
            return layers.BatchNormalization(momentum=NORM_MOMENTUM, name=name)(x)
        case "activation":
            return layers.Activation(layer.function, name=name)(x)
        case "max_pool" | "average_pool":
            kind = "MaxPooling" if layer.kind == "max_pool" else "AveragePooling"
            pool = getattr(layers, f"{kind}{rank}D")
            return pool(layer.kernel_size, layer.stride, layer.padding, name=name)(x)
        case "global_average" | "global_max":
            kind = "Average" if layer.kind == "global_average" else "Max"
            pool = getattr(layers, f"Global{kind}Pooling{rank}D")
            return pool(keepdims=layer.keep_dims, name=name)(x)
        case "flatten":
            return layers.Flatten(name=name)(x)
        case "dropout":
            return layers.Dropout(layer.rate, name=name)(x)
        case "rescale":
            return layers.Rescaling(1 / 255, name=name)(x)
        case "upsample":
            return layers.UpSampling2D(layer.stride, interpolation="bilinear", name=name)(x)
        case "crop":
            height, width = (old - new for old, new in zip(x.shape[1:3], layer.shape[:2], strict=True))
            return layers.Cropping2D(((0, height), (0, width)), name=name)(x)
        case "add" | "multiply" | "concat":
            merge = {"add": layers.Add, "multiply": layers.Multiply, "concat": layers.Concatenate}
            return merge[layer.kind](name=name)(inputs)
        case _:
            raise AssertionError(f"no Keras layer for {layer.kind}")


def apply_conv(x: Any, layer: Layer) -> Any:
    """Apply a convolution of any kind to (batch, height, width, channels) or (batch, length, channels)."""
    from keras import layers

    shared = {"padding": layer.padding, "use_bias": layer.bias, "name": layer.name}
    size, stride = layer.kernel_size, layer.stride
    rank = len(x.shape) - 2
    if layer.kind == "transposed_conv":
        return layers.Conv2DTranspose(layer.filters, size, stride, **shared)(x)
    shared["dilation_rate"] = layer.dilation
    if layer.kind == "depthwise_conv":
        depthwise = layers.DepthwiseConv2D if rank == 2 else layers.DepthwiseConv1D
        return depthwise(size, stride, depth_multiplier=layer.depth_multiplier, **shared)(x)
    if layer.kind == "separable_conv":
        separable = layers.SeparableConv2D if rank == 2 else layers.SeparableConv1D
        return separable(layer.filters, size, stride, depth_multiplier=layer.depth_multiplier, **shared)(x)
    conv = layers.Conv2D if rank == 2 else layers.Conv1D
    return conv(layer.filters, size, stride, groups=layer.groups, **shared)(x)


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
