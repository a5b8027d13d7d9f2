"""A stand-in for `keras` that records a model's layers instead of building them.

The tests of exported sources compare hundreds of sources with the layers that they come from. The recorder is
about a thousand times faster than Keras. It records the project's own list of layers, with each activation as
a layer of its own. Other tests build exported sources with Keras itself.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil, prod
from types import SimpleNamespace
from typing import Any

from nas.architecture import Layer

Plain = tuple[Any, ...]
"""A layer without its name and without values that have no effect."""


@dataclass(frozen=True)
class Tensor:
    """The output of a layer: its index in the list, and its shape with the batch dimension."""

    index: int
    shape: tuple[Any, ...]


def recorded(source: str) -> list[Plain]:
    """Run a source's `build_model` and return its layers; raises AssertionError for invalid arguments."""
    recorder = _Recorder()
    names: dict[str, Any] = {"__name__": "exported", "__builtins__": recorder.builtins()}
    exec(compile(source, "model.py", "exec"), names)
    names["build_model"]()
    return recorder.layers


def plain(layers: Sequence[Layer]) -> list[Plain]:
    """Return the project's layers in the form that `recorded` returns."""
    return [_plain(layer, layers[layer.inputs[0]].shape if layer.inputs else ()) for layer in layers]


def _plain(layer: Layer, before: tuple[int, ...]) -> Plain:
    return _normal(
        layer.kind, layer.inputs, layer.shape, before,
        {"filters": layer.filters, "size": layer.kernel_size, "stride": layer.stride, "groups": layer.groups,
         "dilation": layer.dilation, "multiplier": layer.depth_multiplier, "bias": layer.bias,
         "padding": layer.padding, "function": layer.function, "rate": layer.rate},
    )  # fmt: skip


USED = {
    "conv": ("filters", "size", "stride", "padding", "dilation", "groups", "bias"),
    "separable_conv": ("filters", "size", "stride", "padding", "dilation", "multiplier", "bias"),
    "depthwise_conv": ("size", "stride", "padding", "dilation", "multiplier", "bias"),
    "transposed_conv": ("filters", "size", "stride", "bias"),
    "dense": ("filters",),
    "activation": ("function",),
    "max_pool": ("size", "stride", "padding"),
    "average_pool": ("size", "stride", "padding"),
    "dropout": ("rate",),
}


def _normal(
    kind: str,
    inputs: tuple[int, ...],
    shape: tuple[int, ...],
    before: tuple[int, ...],
    values: dict[str, Any],
) -> Plain:
    """Remove values without an effect: the padding of a 1x1 window, or of a pooling of 2 on an even map."""
    used = {name: values[name] for name in USED.get(kind, ())}
    if "conv" in kind and used["size"] == 1 and kind != "transposed_conv":
        used.update(padding="", dilation=1)
    if kind in ("max_pool", "average_pool"):
        tiny = max(before[:-1]) <= 2 and used["padding"] == "same"
        used["size"] = 2 if tiny else used["size"]
        if used["size"] == 2 and not any(size % 2 for size in before[:-1]):
            used["padding"] = ""
    return (kind, inputs, shape, *used.items())


class _Recorder:
    def __init__(self) -> None:
        self.layers: list[Plain] = []

    def builtins(self) -> dict[str, Any]:
        """Return Python's builtins with an `import` that accepts only `keras` and returns the stand-in."""
        makers = {name: self._maker(name) for name in KINDS}
        keras = SimpleNamespace(layers=SimpleNamespace(**makers), Input=self.input, Model=self.model)

        def import_keras(name: str, *_: Any) -> Any:
            assert name == "keras", f"the source imports {name}"
            return keras

        return {**vars(builtins), "__import__": import_keras}

    def input(self, shape: tuple[int, ...]) -> Tensor:
        return self.add("input", (), shape, {})

    def model(self, inputs: Tensor, outputs: Tensor, name: str) -> None:
        assert name.isidentifier()
        assert inputs.index == 0
        assert outputs.index == len(self.layers) - 1

    def add(
        self, kind: str, inputs: Sequence[Tensor], shape: tuple[int, ...], values: dict[str, Any]
    ) -> Tensor:
        before = inputs[0].shape[1:] if inputs else ()
        self.layers.append(_normal(kind, tuple(x.index for x in inputs), tuple(shape), before, values))
        return Tensor(len(self.layers) - 1, (None, *shape))

    def _maker(self, name: str) -> Callable[..., Callable[[Any], Tensor]]:
        positional, defaults, call = KINDS[name]

        def make(*args: Any, **kwargs: Any) -> Callable[[Any], Tensor]:
            values = dict(zip(positional, args, strict=False))
            assert len(args) <= len(positional), f"{name} has the positional arguments {positional}"
            assert not set(values) & set(kwargs)
            values.update(kwargs)
            assert set(values) <= {*positional, *defaults}, f"{name} does not accept all of {sorted(values)}"
            return lambda x: call(self, x, {**defaults, **values})

        return make


def _windowed(x: Tensor, values: dict[str, Any], rank: int) -> tuple[int, ...]:
    spatial = x.shape[1:-1]
    assert len(spatial) == rank
    extent = (values["size"] - 1) * values.get("dilation", 1) + 1
    stride = values["stride"]
    if values["padding"] == "same":
        return tuple(ceil(size / stride) for size in spatial)
    assert min(spatial) >= extent
    return tuple((size - extent) // stride + 1 for size in spatial)


NAMES = {
    "kernel_size": "size", "pool_size": "size", "strides": "stride", "dilation_rate": "dilation",
    "depth_multiplier": "multiplier", "use_bias": "bias",
}  # fmt: skip

Call = Callable[[_Recorder, Any, dict[str, Any]], Tensor]


def _convolution(kind: str, rank: int) -> Call:
    def call(recorder: _Recorder, x: Tensor, arguments: dict[str, Any]) -> Tensor:
        values = {"groups": 1, "multiplier": 1, "dilation": 1}
        values.update({NAMES.get(name, name): value for name, value in arguments.items()})
        assert values["stride"] == 1 or values["dilation"] == 1
        channels = x.shape[-1]
        assert channels % values["groups"] == 0
        filters = channels * values["multiplier"] if kind == "depthwise_conv" else values["filters"]
        if kind == "transposed_conv":
            assert values["padding"] == "same"
            spatial = tuple(size * values["stride"] for size in x.shape[1:-1])
        else:
            spatial = _windowed(x, values, rank)
        output = recorder.add(kind, [x], (*spatial, filters), values)
        return _activated(recorder, output, values["activation"])

    return call


def _activated(recorder: _Recorder, x: Tensor, function: str | None) -> Tensor:
    return recorder.add("activation", [x], x.shape[1:], {"function": function}) if function else x


def _pool(kind: str, rank: int) -> Call:
    def call(recorder: _Recorder, x: Tensor, arguments: dict[str, Any]) -> Tensor:
        values = {NAMES.get(name, name): value for name, value in arguments.items()}
        values["stride"] = values["stride"] or values["size"]
        return recorder.add(kind, [x], (*_windowed(x, values, rank), x.shape[-1]), values)

    return call


def _global(kind: str, rank: int) -> Call:
    def call(recorder: _Recorder, x: Tensor, arguments: dict[str, Any]) -> Tensor:
        assert len(x.shape) == rank + 2
        spatial = (1,) * rank if arguments["keepdims"] else ()
        return recorder.add(kind, [x], (*spatial, x.shape[-1]), {})

    return call


def _dense(recorder: _Recorder, x: Tensor, arguments: dict[str, Any]) -> Tensor:
    output = recorder.add("dense", [x], (arguments["units"],), {"filters": arguments["units"]})
    return _activated(recorder, output, arguments["activation"])


def _flatten(recorder: _Recorder, x: Tensor, _: dict[str, Any]) -> Tensor:
    return recorder.add("flatten", [x], (prod(x.shape[1:]),), {})


def _batch_norm(recorder: _Recorder, x: Tensor, arguments: dict[str, Any]) -> Tensor:
    assert arguments["momentum"] == 0.9
    return recorder.add("batch_norm", [x], x.shape[1:], {})


def _same_shape(kind: str) -> Call:
    def call(recorder: _Recorder, x: Tensor, arguments: dict[str, Any]) -> Tensor:
        return recorder.add(kind, [x], x.shape[1:], arguments)

    return call


def _merge(kind: str) -> Call:
    def call(recorder: _Recorder, x: list[Tensor], _: dict[str, Any]) -> Tensor:
        shapes = [one.shape[1:-1] for one in x]
        assert all(shape == shapes[0] or kind == "multiply" for shape in shapes)
        channels = sum(one.shape[-1] for one in x) if kind == "concat" else x[0].shape[-1]
        return recorder.add(kind, x, (*shapes[0], channels), {})

    return call


def _upsample(recorder: _Recorder, x: Tensor, arguments: dict[str, Any]) -> Tensor:
    assert arguments["interpolation"] == "bilinear"
    return recorder.add("upsample", [x], (*(2 * size for size in x.shape[1:-1]), x.shape[-1]), {})


def _crop(recorder: _Recorder, x: Tensor, arguments: dict[str, Any]) -> Tensor:
    cut = tuple(size - sum(ends) for size, ends in zip(x.shape[1:-1], arguments["cropping"], strict=True))
    return recorder.add("crop", [x], (*cut, x.shape[-1]), {})


CONV = {"strides": 1, "padding": "valid", "dilation_rate": 1, "activation": None, "use_bias": True}
TRANSPOSED = {name: value for name, value in CONV.items() if name != "dilation_rate"}

KINDS: dict[str, tuple[tuple[str, ...], dict[str, Any], Call]] = {
    "Conv2DTranspose": (("filters", "kernel_size"), TRANSPOSED, _convolution("transposed_conv", 2)),
    "UpSampling2D": ((), {"interpolation": "nearest"}, _upsample),
    "Cropping2D": (("cropping",), {}, _crop),
    "Dense": (("units",), {"activation": None}, _dense),
    "Flatten": ((), {}, _flatten),
    "Dropout": (("rate",), {}, _same_shape("dropout")),
    "Rescaling": (("scale",), {}, _same_shape("rescale")),
    "Activation": (("function",), {}, _same_shape("activation")),
    "BatchNormalization": ((), {"momentum": 0.99}, _batch_norm),
    "Add": ((), {}, _merge("add")),
    "Multiply": ((), {}, _merge("multiply")),
    "Concatenate": ((), {}, _merge("concat")),
}
for _rank_ in (1, 2):
    _sizes = ("filters", "kernel_size")
    KINDS |= {
        f"Conv{_rank_}D": (_sizes, {**CONV, "groups": 1}, _convolution("conv", _rank_)),
        f"SeparableConv{_rank_}D": (
            _sizes,
            {**CONV, "depth_multiplier": 1},
            _convolution("separable_conv", _rank_),
        ),
        f"DepthwiseConv{_rank_}D": (
            ("kernel_size",),
            {**CONV, "depth_multiplier": 1},
            _convolution("depthwise_conv", _rank_),
        ),
    }
    for _kind, _name in (("max_pool", "Max"), ("average_pool", "Average")):
        _pooling = {"strides": None, "padding": "valid"}
        KINDS[f"{_name}Pooling{_rank_}D"] = (("pool_size",), _pooling, _pool(_kind, _rank_))
    for _kind, _name in (("global_max", "Max"), ("global_average", "Average")):
        KINDS[f"Global{_name}Pooling{_rank_}D"] = ((), {"keepdims": False}, _global(_kind, _rank_))
