"""The weights of a network: names, shapes and initial values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Literal, assert_never

import numpy as np

from nas.architecture import Layer, Shape

__all__ = ["WeightSpec", "initial_weights", "weight_specs"]

Role = Literal["kernel", "zeros", "gamma", "beta", "moving_mean", "moving_variance"]


@dataclass(frozen=True, slots=True)
class WeightSpec:
    """One variable of a network; its name is the path of the variable in Keras."""

    name: str
    shape: Shape
    role: Role

    @property
    def is_statistic(self) -> bool:
        """Whether it is a moving statistic, which has no gradient."""
        return self.role in ("moving_mean", "moving_variance")

    @property
    def is_norm(self) -> bool:
        """Whether it belongs to batch normalization."""
        return self.role not in ("kernel", "zeros")


def weight_specs(layers: Sequence[Layer]) -> tuple[WeightSpec, ...]:
    """List a network's variables in the order of Keras' `model.weights`."""
    return tuple(spec for index in _keras_order(layers) for spec in _layer_weights(layers[index], layers))


def initial_weights(specs: Sequence[WeightSpec], seed: int) -> list[np.ndarray]:
    """Draw initial values from the distributions of Keras' layers: Glorot uniform kernels, zeros, ones."""
    rng = np.random.default_rng(seed)
    values = []
    for spec in specs:
        match spec.role:
            case "kernel":
                receptive = prod(spec.shape[:-2])
                limit = (6 / (receptive * sum(spec.shape[-2:]))) ** 0.5
                value = rng.uniform(-limit, limit, spec.shape)
            case "gamma" | "moving_variance":
                value = np.ones(spec.shape)
            case "zeros" | "beta" | "moving_mean":
                value = np.zeros(spec.shape)
            case _:
                assert_never(spec.role)
        values.append(value.astype(np.float32))
    return values


def _keras_order(layers: Sequence[Layer]) -> list[int]:
    """Return the indices of layers in the order of a functional model: by depth, then by first visit from
    the end.
    """
    depths = [0] * len(layers)
    for index in range(len(layers) - 1, -1, -1):
        for source in layers[index].inputs:
            depths[source] = max(depths[source], depths[index] + 1)
    visits: dict[int, int] = {}
    pending = [len(layers) - 1]
    while pending:
        index = pending.pop()
        if index not in visits:
            visits[index] = len(visits)
            pending.extend(reversed(layers[index].inputs))
    return sorted(visits, key=lambda index: (-depths[index], visits[index]))


def _layer_weights(layer: Layer, layers: Sequence[Layer]) -> list[WeightSpec]:
    source = layers[layer.inputs[0]].shape if layer.inputs else ()
    window = (layer.kernel_size,) * (len(source) - 1)
    variables: dict[str, tuple[Shape, Role]]
    match layer.kind:
        case "conv":
            variables = {"kernel": ((*window, source[-1] // layer.groups, layer.filters), "kernel")}
        case "transposed_conv":
            variables = {"kernel": ((*window, layer.filters, source[-1]), "kernel")}
        case "depthwise_conv":
            variables = {"kernel": ((*window, source[-1], layer.depth_multiplier), "kernel")}
        case "separable_conv":
            inner = source[-1] * layer.depth_multiplier
            pointwise = (1,) * len(window)
            variables = {
                "depthwise_kernel": ((*window, source[-1], layer.depth_multiplier), "kernel"),
                "pointwise_kernel": ((*pointwise, inner, layer.filters), "kernel"),
            }
        case "dense":
            variables = {"kernel": ((source[-1], layer.filters), "kernel")}
        case "batch_norm":
            roles: tuple[Role, ...] = ("gamma", "beta", "moving_mean", "moving_variance")
            variables = {role: (source[-1:], role) for role in roles}
        case "input" | "rescale" | "activation" | "dropout" | "flatten" | "upsample" | "crop":
            variables = {}
        case "max_pool" | "average_pool" | "global_average" | "global_max" | "add" | "multiply" | "concat":
            variables = {}
        case _:
            assert_never(layer.kind)
    if layer.bias:
        variables["bias"] = (layer.shape[-1:], "zeros")
    return [WeightSpec(f"{layer.name}/{name}", shape, role) for name, (shape, role) in variables.items()]
