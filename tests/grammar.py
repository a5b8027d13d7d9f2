"""Random architectures from the whole file format, for tests of properties that every network has."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np

from nas.architecture import Architecture
from nas.architecture.parts import Activation, Conv, Normalization, Shrink

ACTIVATIONS = get_args(Activation)


def random_architecture(rng: np.random.Generator, task: str = "", length: int = 0) -> Architecture:
    """Draw a network for a task ("": any); `length` sets the length of a signal (0: mostly images)."""
    return Architecture.from_dict(random_file(rng, task, length))


def random_file(rng: np.random.Generator, task: str = "", length: int = 0) -> dict[str, Any]:
    """Draw the content of a closed file; see `random_architecture`."""

    def one(*choices: Any) -> Any:
        return choices[int(rng.integers(len(choices)))]

    def sometimes(probability: float, value: Any, other: Any) -> Any:
        return value if rng.random() < probability else other

    signal = length > 0 or (not task and rng.random() < 0.15)
    tasks = ("classification", "binary", "multi_label", "regression", *(() if signal else ("segmentation",)))
    task = task or one(*tasks)
    channels = one(1, 2, 3)
    size = [one(2, 5, 8, 11, 16), one(1, 7, 8, 12, 16)]
    shape = [length or one(1, 2, 9, 16, 33), channels] if signal else [*size, channels]
    padding = ("same",) if task == "segmentation" else ("same", "valid")
    normalizations = get_args(Normalization)
    data: dict[str, Any] = {
        "task": task,
        "input_shape": shape,
        "classes": 2 if task == "binary" else one(2, 3, 10),
        "rescale": one(True, False),
    }
    if rng.random() < 0.6:
        data["stem"] = {
            "width": one(4, 6, 8),
            "kernel_size": one(1, 3, 5),
            "stride": one(1, 2),
            "padding": one(*padding),
            "bias": one(True, False),
            "normalization": one(*normalizations),
            "activation": one("relu", "none", *ACTIVATIONS),
        }
    data["stages"] = [
        {
            "width": one(4, 6, 8, 12),
            "blocks": one(1, 1, 2, 3),
            "convs": one(1, 2, 3),
            "conv": one(*get_args(Conv)),
            "kernel_size": one(1, 3, 3, 5),
            "dilation": one(1, 1, 2),
            "groups": one(1, 1, 2, 4, 6),
            "depth_multiplier": one(1, 1, 2),
            "expansion": one(1, 2, 4),
            "padding": one(*padding),
            "bias": one(True, False),
            "normalization": one(*normalizations),
            "activation": one("relu", "none", *ACTIVATIONS),
            "residual": one("none", "identity", "projection"),
            "shortcut_bias": one(True, False),
            "squeeze_excitation": sometimes(0.3, one(0.1, 0.25, 0.5, 1.0), 0.0),
            "shrink": one(*get_args(Shrink)),
            "pool_size": one(2, 3),
            "dropout": sometimes(0.3, 0.25, 0.0),
        }
        for _ in range(int(rng.integers(0, 4)))
    ]
    if task == "segmentation" and rng.random() < 0.8:
        data["decoder"] = {
            "upsample": one("transposed", "interpolated"),
            "convs": one(1, 2, 3),
            "conv": one("standard", "separable"),
            "kernel_size": one(1, 3, 5),
            "bias": one(True, False),
            "normalization": one("none", "between", "after"),
            "activation": one(*ACTIVATIONS),
            "skip": one("none", "add", "concat"),
            "dropout": sometimes(0.3, 0.25, 0.0),
        }
    data["head"] = {
        "pooling": one("global_average", "global_max", "flatten"),
        "dense": one([], [5], [0, 7], [8, 6]),
        "activation": one("relu", "silu", "none"),
        "dropout": sometimes(0.3, 0.5, 0.0),
        "kernel_size": one(1, 3),
    }
    return data


def rewritten(rng: np.random.Generator, data: dict[str, Any]) -> dict[str, Any]:
    """Rewrite a file in ways that may or may not change the network."""
    other = random_file(rng, data["task"], data["input_shape"][0] if len(data["input_shape"]) == 2 else 0)
    new = {**data, "stages": [dict(stage) for stage in data["stages"]], "head": dict(data["head"])}
    stages = new["stages"]
    for _ in range(int(rng.integers(1, 4))):
        change = int(rng.integers(6)) if stages else 0
        index = int(rng.integers(len(stages))) if stages else 0
        if change == 0:
            part = str(rng.choice(["head", "stem", "decoder"]))
            if part in new and part in other:
                name = str(rng.choice(list(other[part])))
                new[part] = {**new[part], name: other[part][name]}
        elif change in (1, 2) and other["stages"]:
            name = str(rng.choice(list(stages[index])))
            stages[index][name] = other["stages"][0][name]
        elif change == 3:
            name = str(rng.choice(["blocks", "convs"]))
            count = stages[index][name]
            if count > 1:
                first, second = dict(stages[index]), dict(stages[index])
                first[name] = int(rng.integers(1, count))
                second[name] = count - first[name]
                first["dropout"] = 0.0
                if name == "convs" and first["shrink"] != "strided":
                    first.update(shrink="none", squeeze_excitation=0.0)
                else:
                    second["shrink"] = "none"
                stages[index : index + 1] = [first, second]
        elif change == 4 and index:
            stages[index - 1 : index + 1] = [{**stages[index], "convs": stages[index]["convs"] + 1}]
        elif change == 5 and "stem" not in new:
            first = stages[0]
            names = ("width", "kernel_size", "padding", "bias", "normalization", "activation")
            new["stem"] = {name: first[name] for name in names}
            if first["shrink"] == "strided":
                new["stem"]["stride"] = 2
                first["shrink"] = "none"
            first["convs"] -= 1
            if not first["convs"]:
                stages.pop(0)
    return new
