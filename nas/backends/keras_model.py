"""Build Keras models: functional models with one Keras layer for each layer of the network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, assert_never

import numpy as np

from nas.architecture import NORM_MOMENTUM, Architecture, Design, Layer, Shape, Training
from nas.errors import SpaceError
from nas.tensorflow_imports import import_keras, keras_settings

if TYPE_CHECKING:
    import keras

__all__ = [
    "METRICS",
    "build_compiled_model",
    "build_model",
    "create_optimizer",
    "keras_layer",
    "moving_layers",
    "predict",
    "recoloring_layers",
    "training_loss",
]

KerasLayer = tuple[str, dict[str, Any]]
"""The name of a class of Keras, and the arguments of its constructor."""

METRICS = {"multi_label": "binary_accuracy", "regression": "mean_absolute_error"}
"""Keras' name of the metric by task; accuracy for the others."""


@keras_settings()
def build_model(architecture: Architecture, training: Training | None = None) -> keras.Model:
    """Build an untrained Keras model, with the augmentation of `training` if that is given.

    Input (batch, *input_shape); output (batch, classes), (batch, 1) for binary, or (batch, height, width,
    classes) for segmentation: probabilities, or numbers for regression. Initial weights depend on
    `keras.utils.set_random_seed`.
    """
    keras = import_keras()
    entry = keras.Input(architecture.input_shape, name="input")
    tensors: list[Any] = [_augment(entry, architecture, training) if training else entry]
    for layer in architecture.layers[1:]:
        tensors.append(_apply_layer([tensors[source] for source in layer.inputs], layer))
    name = architecture.name if architecture.name.isidentifier() else "network"
    return keras.Model(entry, tensors[-1], name=name)


@keras_settings()
def build_compiled_model(architecture: Architecture, training: Training) -> keras.Model:
    """Build a model and compile it with its optimizer and with the loss and metrics of its task.

    With label_smoothing or mixup, `fit` and `evaluate` take one-hot labels unless the task is binary. Mixup,
    and for segmentation the augmentation that moves pixels, need batches as in the exported Python source.
    Raises SpaceError for a network without a head.
    """
    if architecture.head is None:
        raise SpaceError("a network needs a head to be trained, got head: null; leave head out of the file")
    model = build_model(architecture, training)
    loss = training_loss(architecture, training)
    if not isinstance(loss, str):
        name, arguments = loss
        loss = getattr(import_keras().losses, name)(**arguments)
    model.compile(
        optimizer=create_optimizer(training), loss=loss, metrics=[METRICS.get(architecture.task, "accuracy")]
    )
    return model


def training_loss(architecture: Architecture, training: Training) -> str | KerasLayer:
    """Return the name of the loss, or the name of its class in `keras.losses` and its arguments.

    For CategoricalCrossentropy a label is a probability of each class.
    """
    if architecture.task == "regression":
        return "mean_squared_error"
    if architecture.task in ("binary", "multi_label"):
        name, class_name = "binary_crossentropy", "BinaryCrossentropy"
    elif training.softens_labels:
        name, class_name = "categorical_crossentropy", "CategoricalCrossentropy"
    else:
        return "sparse_categorical_crossentropy"
    smoothing = training.label_smoothing
    return (class_name, {"label_smoothing": smoothing}) if smoothing else name


def create_optimizer(training: Training) -> keras.optimizers.Optimizer:
    """Return a Keras optimizer with a constant learning rate."""
    optimizers = import_keras().optimizers
    rate, decay = training.learning_rate, training.weight_decay
    match training.optimizer:
        case "adam":
            return optimizers.Adam(rate)
        case "adamw":
            return optimizers.AdamW(rate, weight_decay=decay)
        case "sgd":
            return optimizers.SGD(rate, momentum=0.9, nesterov=True, weight_decay=decay or None)
        case "rmsprop":
            return optimizers.RMSprop(rate)
        case _:
            assert_never(training.optimizer)


def predict(model: keras.Model, x: np.ndarray, batch_size: int = 64) -> np.ndarray:
    """Return a Keras model's outputs for examples, computed in batches: float32 (n, *output)."""
    starts = range(0, len(x), batch_size)
    return np.concatenate([np.asarray(model(x[i : i + batch_size], training=False)) for i in starts])


def keras_layer(layer: Layer, source: Shape) -> tuple[str, dict[str, Any]]:
    """Return the name of a layer's class in `keras.layers`, and the arguments of its constructor.

    `source`: shape of the layer's first input.
    """
    rank = len(source) - 1
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
            cut = tuple((0, old - new) for old, new in zip(source[:-1], layer.shape[:-1], strict=True))
            return f"Cropping{rank}D", {"cropping": cut}
        case "add":
            return "Add", {}
        case "multiply":
            return "Multiply", {}
        case "concat":
            return "Concatenate", {}
        case "input":
            raise AssertionError("the input of a network is a tensor, not a Keras layer")
        case _:
            assert_never(layer.kind)


def _window(layer: Layer, **filters: int) -> dict[str, Any]:
    return {
        **filters, "kernel_size": layer.kernel_size, "strides": layer.stride, "padding": layer.padding
    }  # fmt: skip


def moving_layers(architecture: Architecture, training: Training) -> dict[str, KerasLayer]:
    """Return Keras' layers that move the pixels of images at random, by the value that asks for them."""
    found: dict[str, KerasLayer] = {}
    if training.flip:
        found["flip"] = ("RandomFlip", {"mode": "horizontal"})
    if training.crop:
        # Shifts of up to half a pixel more are rounded to whole pixels: all whole shifts are equally likely.
        height, width = ((training.crop + 0.5) / size for size in architecture.input_shape[:2])
        shift = {"height_factor": height, "width_factor": width}
        found["crop"] = ("RandomTranslation", {**shift, "interpolation": "nearest"})
    if limit := training.translation:
        found["translation"] = ("RandomTranslation", {"height_factor": limit, "width_factor": limit})
    if training.rotation:
        found["rotation"] = ("RandomRotation", {"factor": training.rotation})
    if training.zoom:
        found["zoom"] = ("RandomZoom", {"height_factor": training.zoom})
    return found


def recoloring_layers(architecture: Architecture, training: Training) -> dict[str, KerasLayer]:
    """Return Keras' layers that change the values of images at random, by the value that asks for them."""
    found: dict[str, KerasLayer] = {}
    low, high = Design.model_construct(architecture=architecture, training=training).value_range
    value_range = {} if (low, high) == (0.0, 255.0) else {"value_range": (low, high)}  # Keras' default
    if training.brightness:
        found["brightness"] = ("RandomBrightness", {"factor": training.brightness, **value_range})
    if training.contrast:
        found["contrast"] = ("RandomContrast", {"factor": training.contrast, **value_range})
    if training.cutout:
        area = round(training.cutout**2, 12)
        filled = {"factor": (1.0, 1.0), "scale": (area, area), "fill_value": (low + high) / 2}
        found["cutout"] = ("RandomErasing", {**filled, **value_range})
    return found


def _augment(x: Any, architecture: Architecture, training: Training) -> Any:
    """Add layers that change images (batch, height, width, channels) at random.

    They act in training, and not in `predict`, `evaluate` or an exported file. In a call `model(x)` Keras
    lets them act too, unless `training=False` is passed. A model can't move the masks of segmentation with
    the images, so that it does not move the images.
    """
    found = {} if architecture.task == "segmentation" else moving_layers(architecture, training)
    for key, (name, arguments) in (found | recoloring_layers(architecture, training)).items():
        x = getattr(import_keras().layers, name)(**arguments, name=f"augment_{key}")(x)
    return x


def _apply_layer(inputs: list[Any], layer: Layer) -> Any:
    """Apply the Keras layer of a layer to its input tensors."""
    class_name, arguments = keras_layer(layer, tuple(inputs[0].shape[1:]))
    made = getattr(import_keras().layers, class_name)(**arguments, name=layer.name)
    return made(inputs if len(inputs) > 1 else inputs[0])
