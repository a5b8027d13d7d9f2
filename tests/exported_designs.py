"""Designs whose exported files the tests compare with the Keras models, and random weights and inputs."""

from __future__ import annotations

from typing import Any

import numpy as np

from nas.architecture import Architecture, Design, read_yaml
from nas.space import shipped_files
from tests.grammar import random_file

IMAGE = {"input_shape": [16, 16, 3], "classes": 4}


SCENE = {"input_shape": [15, 11, 3], "classes": 5, "task": "segmentation"}


SIGNAL = {"input_shape": [64, 2], "classes": 3}


AUGMENTATION = {
    "flip": True, "crop": 2, "translation": 0.1, "rotation": 0.1, "zoom": 0.2, "brightness": 0.2,
    "contrast": 0.3, "cutout": 0.4,
}  # fmt: skip


def stages(count: int, width: Any = 8, growth: float = 1, **block: Any) -> dict[str, Any]:
    return {"stages": {"count": count, "width": width, "growth": growth}, "block": block}


GRAMMAR: dict[str, dict[str, Any]] = {
    "signal": {
        **SIGNAL,
        **stages(3, growth=2, conv="separable", convs=2, shrink="max_pool", residual="projection"),
        "stem": {"width": 8, "kernel_size": 5, "stride": 2},
    },
    "signal, depthwise": {
        **SIGNAL,
        **stages(2, conv="depthwise_pointwise", convs=2, shrink="average_pool", squeeze_excitation=0.25),
    },
    "inverted bottleneck": {
        **IMAGE,
        **stages(
            3,
            [8, 16, 24],
            conv="inverted_bottleneck",
            blocks=[1, 2, 3],
            expansion=[1, 6, 6],
            shrink=["none", "strided", "strided"],
            normalization="between",
            activation="relu6",
            residual="identity",
            squeeze_excitation=0.25,
        ),
        "stem": {"width": 8, "stride": 2, "normalization": "between", "activation": "relu6"},
    },
    "inverted bottleneck, first": {
        "input_shape": [9, 2],
        "rescale": False,
        **stages(1, conv="inverted_bottleneck", expansion=2),
    },
    "squeeze and excitation": {
        **IMAGE,
        **stages(3, [3, 8, 16], squeeze_excitation=[0.1, 0.25, 0.3], convs=2, residual="projection"),
    },
    "groups": {
        **IMAGE,
        **stages(3, [8, 12, 16], groups=4, convs=3, shrink="strided"),
        "stem": {"width": 8},
    },
    "dilation": {**IMAGE, **stages(3, dilation=[1, 2, 4], convs=2, normalization="after")},
    "depth multiplier": {
        **IMAGE,
        **stages(
            3,
            conv=["separable", "depthwise_pointwise", "standard"],
            depth_multiplier=2,
            convs=2,
            residual="projection",
            shrink="max_pool",
        ),
    },
    "valid": {
        **IMAGE,
        **stages(4, padding="valid", convs=2, shrink="max_pool", kernel_size=[5, 3, 3, 3]),
        "stem": {"width": 4, "kernel_size": 5, "padding": "valid"},
    },
    "valid, residual": {
        **IMAGE,
        **stages(4, padding="valid", convs=2, shrink="strided", residual="projection", conv="separable"),
    },
    "binary": {
        "input_shape": [16, 16, 3],
        "task": "binary",
        **stages(3, [8, 16, 16], residual="projection", convs=2, shrink=["max_pool", "none", "max_pool"]),
    },
    "multi_label": {**IMAGE, "task": "multi_label", **stages(2, convs=2, normalization="between")},
    "regression": {
        **IMAGE,
        "task": "regression",
        "classes": 1,
        **stages(2, shrink="max_pool"),
        "head": {"dense": [8]},
    },
    "regression of a signal": {**SIGNAL, "task": "regression", **stages(2, shrink="strided")},
    "flatten and dense": {
        **IMAGE,
        **stages(2, shrink="max_pool", pool_size=3, dropout=[0.2, 0.3]),
        "head": {"pooling": "flatten", "dense": [32, 16, 8], "dropout": 0.5, "activation": "gelu"},
    },
    "no head": {
        "input_shape": [16, 16, 3],
        **stages(1, convs=2, padding="valid"),
        "head": None,
        "rescale": False,
    },
    "head alone": {**IMAGE, "head": {"pooling": "global_max"}},
    "positions of normalization": {
        **IMAGE,
        "stem": {"width": 8, "normalization": "before", "activation": "silu"},
        "stages": [
            {"width": 8, "normalization": "after"},
            {"width": 8, "normalization": "between"},
            {"width": 8, "normalization": "before", "convs": 3},
        ],
    },
    "before, mixed": {
        **IMAGE,
        **stages(
            3,
            normalization="before",
            conv=["separable", "standard", "depthwise_pointwise"],
            convs=2,
            shrink=["max_pool", "average_pool", "strided"],
            kernel_size=[3, 5, 3],
        ),
    },
    "blocks, strided": {
        **IMAGE,
        **stages(
            3,
            growth=2,
            blocks=[2, 3, 2],
            convs=2,
            residual="projection",
            normalization="between",
            shrink=["none", "strided", "strided"],
        ),
        "stem": {"width": 8, "bias": False, "normalization": "between"},
    },
    "blocks, pooled": {
        **IMAGE,
        **stages(
            3,
            growth=2,
            blocks=[2, 3, 2],
            convs=[1, 2, 3],
            residual="identity",
            conv="separable",
            shrink=["none", "max_pool", "average_pool"],
        ),
        "stem": {"width": 8},
    },
    "activations": {
        **IMAGE,
        **stages(
            6,
            activation=["elu", "selu", "leaky_relu", "hard_silu", "tanh", "none"],
            normalization="between",
        ),
    },
    "decoder": {**SCENE, **stages(2, growth=2, convs=2, shrink="strided"), "decoder": {"convs": 2}},
    "decoder, added": {
        **SCENE,
        **stages(2, growth=2, convs=2, shrink="max_pool", residual="projection"),
        "stem": {"width": 6},
        "decoder": {"upsample": "transposed", "skip": "add", "normalization": "between"},
    },
    "decoder, concatenated": {
        **SCENE,
        **stages(2, growth=2, convs=2, shrink="strided", conv="separable", normalization="between"),
        "stem": {"width": 8, "stride": 2},
        "decoder": {
            "upsample": "interpolated",
            "conv": "separable",
            "convs": 3,
            "skip": "concat",
            "normalization": "between",
            "dropout": 0.1,
        },
        "head": {"kernel_size": 3, "dropout": 0.1},
    },
    "decoder, from pools": {
        **SCENE,
        **stages(2, shrink=["max_pool", "average_pool"]),
        "stem": {"width": 8},
        "decoder": {"upsample": "interpolated", "convs": 1, "skip": "concat", "normalization": "after"},
    },
    "training": {
        **IMAGE,
        **stages(1),
        "training": {
            "optimizer": "adamw",
            "schedule": "cosine",
            "weight_decay": 0.05,
            "flip": True,
            "rotation": 0.1,
            "zoom": 0.2,
        },
    },
    "augmentation": {**IMAGE, **stages(1), "training": {**AUGMENTATION, "label_smoothing": 0.1}},
    "augmentation, scaled": {
        **IMAGE,
        **stages(1),
        "rescale": False,
        "training": {**AUGMENTATION, "value_range": [-1, 1], "batch_size": 4},
    },
    "mixup": {**IMAGE, **stages(1), "training": {"flip": True, "mixup": 0.2, "class_weight": "balanced"}},
    "mixup, binary": {
        "input_shape": [16, 16, 3],
        "task": "binary",
        **stages(1),
        "training": {"mixup": 0.2, "label_smoothing": 0.1, "class_weight": "balanced"},
    },
    "mixup, signal": {**SIGNAL, **stages(1), "training": {"mixup": 0.3, "schedule": "cosine"}},
    "moved masks": {**SCENE, **stages(1, shrink="strided"), "training": {**AUGMENTATION, "batch_size": 4}},
    "moved masks, smoothed": {
        **SCENE,
        **stages(1, shrink="strided"),
        "training": {"rotation": 0.1, "label_smoothing": 0.1},
    },
    "special characters": {
        **IMAGE,
        **stages(1),
        "name": 'a "quoted" \\ name',
        "about": 'It says """stop""" \\n here.',
        "source": "arXiv:1610.02357",
        "training": {"optimizer": "sgd", "weight_decay": 0.0001},
    },
    "everything differs": {
        **IMAGE,
        **stages(
            4,
            growth=2,
            conv="separable",
            kernel_size=[3, 5, 3, 5],
            convs=[1, 2, 1, 2],
            dilation=[1, 2, 1, 2],
            depth_multiplier=[1, 2, 1, 2],
            bias=False,
            activation="leaky_relu",
            residual="projection",
            padding="valid",
            shrink=["max_pool", "none", "strided", "none"],
        ),
    },
}


def design(data: dict[str, Any]) -> Design:
    return Design.from_dict(data)


def shipped_designs() -> dict[str, Design]:
    return {name: design(read_yaml(path.read_text(), name)) for name, path in shipped_files("models").items()}


def example_designs() -> dict[str, Design]:
    rng = np.random.default_rng(11)
    drawn = {f"drawn {number}": design(random_file(rng)) for number in range(6)}
    return {**{name: design(data) for name, data in GRAMMAR.items()}, **drawn}


def random_weights(model: Any, seed: int = 3) -> list[np.ndarray]:
    """Draw weights with which no layer returns only zeros and none overflows."""
    rng = np.random.default_rng(seed)
    found = []
    for weight in model.weights:
        fan = max(1, int(np.prod(weight.shape[:-1])))
        value = rng.normal(size=weight.shape, scale=1 / np.sqrt(fan))
        positive = "variance" in weight.path or "gamma" in weight.path
        found.append((np.abs(value) + 0.5 if positive else value).astype(np.float32))
    return found


def random_inputs(architecture: Architecture, count: int = 4, seed: int = 5) -> np.ndarray:
    rng = np.random.default_rng(seed)
    high = 255 if architecture.rescale else 1
    return rng.uniform(0, high, (count, *architecture.input_shape)).astype(np.float32)
