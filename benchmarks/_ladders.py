"""The reference networks of against_hand.py: five families as in a book, each at three widths."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras

    from nas.data import Dataset

__all__ = ["LADDERS", "Ladder", "build_rung"]

DROPOUT = 0.25
LEAST_SIZE = 32
"""Side in pixels below which keras.applications takes no images."""


@dataclass(frozen=True)
class Ladder:
    """A family of networks: how its body is added to an input, and the widths of its rungs."""

    widths: Sequence[Any]
    body: Callable[[Any, Any, int], Any]  # (images, width, classes) -> probabilities


def build_rung(family: str, rung: int, dataset: Dataset, batch_size: int | None = None) -> keras.Model:
    """Build an untrained network for a data set; a batch size is fixed in the model's input if given."""
    import keras

    ladder = LADDERS[family]
    entry = keras.Input(dataset.shape, batch_size)
    images = keras.layers.Rescaling(1 / 255)(entry) if dataset.rescale else entry
    return keras.Model(entry, ladder.body(images, ladder.widths[rung], len(dataset.classes)))


def plain_cnn(x: Any, widths: Sequence[int], classes: int) -> Any:
    """Add 3x3 convolutions, each with batch normalization, ReLU and max pooling."""
    from keras import layers

    for width in widths:
        x = _norm_relu(layers.Conv2D(width, 3, padding="same", use_bias=False)(x))
        x = layers.MaxPooling2D(2, padding="same")(x)
    return _classifier(x, classes)


def mini_xception(x: Any, widths: Sequence[int], classes: int) -> Any:
    """Add the small Xception of F. Chollet, Deep Learning with Python, 2nd edition, section 9.3.5."""
    from keras import layers

    x = layers.Conv2D(widths[0], 3, padding="same", use_bias=False)(x)
    for width in widths:
        shortcut = layers.Conv2D(width, 1, use_bias=False)(_every_other(x))
        for _ in range(2):
            x = _norm_relu(x)
            x = layers.SeparableConv2D(width, 3, padding="same", use_bias=False)(x)
        x = layers.MaxPooling2D(3, strides=2, padding="same")(x)
        x = layers.Add()([x, shortcut])
    return _classifier(_norm_relu(x), classes)


def small_resnet(x: Any, width: int, classes: int) -> Any:
    """Add a ResNet of three stages with one block each, as for CIFAR-10 in arXiv:1512.03385, section 4.2."""
    from keras import layers

    x = _norm_relu(layers.Conv2D(width, 3, padding="same", use_bias=False)(x))
    for stage in range(3):
        filters, stride = width * 2**stage, 1 if stage == 0 else 2
        shortcut = x
        if stride > 1:
            shortcut = layers.Conv2D(filters, 1, use_bias=False)(_every_other(x))
            shortcut = layers.BatchNormalization()(shortcut)
        x = _norm_relu(layers.Conv2D(filters, 3, stride, padding="same", use_bias=False)(x))
        x = layers.BatchNormalization()(layers.Conv2D(filters, 3, padding="same", use_bias=False)(x))
        x = layers.ReLU()(layers.Add()([x, shortcut]))
    return _classifier(x, classes)


def mobilenet_v2(x: Any, alpha: float, classes: int) -> Any:
    """Add MobileNetV2 of keras.applications with new weights."""
    import keras

    x = _at_least_32(x)
    return keras.applications.MobileNetV2(x.shape[1:], alpha, weights=None, classes=classes)(x)


def mobilenet_v3_small(x: Any, alpha: float, classes: int) -> Any:
    """Add MobileNetV3-small of keras.applications with new weights."""
    import keras

    x = _at_least_32(x)
    return keras.applications.MobileNetV3Small(
        x.shape[1:], alpha, weights=None, classes=classes, include_preprocessing=False
    )(x)


LADDERS = {
    "plain_cnn": Ladder(((16, 32, 32, 32), (32, 64, 64, 128), (32, 64, 128, 256)), plain_cnn),
    "mini_xception": Ladder(((8, 16, 32), (24, 48, 96), (52, 104, 208)), mini_xception),
    "small_resnet": Ladder((4, 9, 20), small_resnet),
    "mobilenet_v2": Ladder((0.35, 0.5, 0.75), mobilenet_v2),
    "mobilenet_v3_small": Ladder((0.35, 0.5, 0.75), mobilenet_v3_small),
}
"""The families by name, each with the widths of its rungs; the widths of MobileNet are its alpha.

The first three have about 5,000 to 400,000 parameters, MobileNet 340,000 to 1.4 million.
"""


def _norm_relu(x: Any) -> Any:
    from keras import layers

    return layers.ReLU()(layers.BatchNormalization()(x))


def _every_other(x: Any) -> Any:
    """Select every other pixel, for a convolution of 1x1 that has a stride of 2 in the source.

    The result is equal. On some processors oneDNN corrupts its memory when it trains the strided convolution.
    """
    from keras import layers

    return layers.MaxPooling2D(1, strides=2, padding="same")(x)


def _classifier(x: Any, classes: int) -> Any:
    from keras import layers

    x = layers.Dropout(DROPOUT)(layers.GlobalAveragePooling2D()(x))
    return layers.Dense(classes, activation="softmax")(x)


def _at_least_32(x: Any) -> Any:
    """Enlarge images that are too small for keras.applications."""
    from keras import layers

    height, width = x.shape[1:3]
    if min(height, width) >= LEAST_SIZE:
        return x
    return layers.Resizing(max(height, LEAST_SIZE), max(width, LEAST_SIZE))(x)
