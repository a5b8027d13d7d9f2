"""A new kind of layer: one test lists the files that need code for it."""

from __future__ import annotations

import ast
import traceback
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import numpy as np

import nas
from nas.architecture import BIASED_KINDS, Layer
from nas.architecture.cost import _layer_cost
from nas.architecture.layers import Kind
from nas.backends import (
    ForwardMode,
    forward,
    initial_weights,
    keras_layer,
    litert_bytes,
    lower_to_operators,
    weight_specs,
)
from nas.export.python.layer_calls import layer_call
from tests.exported_designs import example_designs

PROJECT = Path(nas.__file__).parents[1]


def compute_cost(layers: Sequence[Layer]) -> None:
    cost = _layer_cost(layers[1], layers[0].shape)
    assert (cost.params > 0) == (layers[1].kind in BIASED_KINDS or layers[1].kind == "batch_norm")


def run_tensorflow(layers: Sequence[Layer]) -> None:
    specs = weight_specs(layers)
    values = dict(zip((spec.name for spec in specs), initial_weights(specs, seed=0), strict=True))
    x = np.ones((1, *layers[0].shape), np.float32)
    output, _ = forward(layers, values, x, ForwardMode(batch_statistics=False))
    assert int(np.prod(output.shape)) == int(np.prod(layers[1].shape))


def write_keras_layer(layers: Sequence[Layer]) -> None:
    import keras

    name, arguments = keras_layer(layers[1], layers[0].shape)
    getattr(keras.layers, name)(**arguments)


def write_source(layers: Sequence[Layer]) -> None:
    layer_call(layers[1], layers[0].shape)


def write_litert(layers: Sequence[Layer]) -> None:
    assert litert_bytes(SimpleNamespace(layers=layers))  # type: ignore[arg-type]  # it reads nothing else


USES: tuple[Callable[[Sequence[Layer]], Any], ...] = (
    compute_cost,
    run_tensorflow,
    write_keras_layer,
    write_source,
    write_litert,
    lower_to_operators,
)
"""All that the package does with a layer."""


def example_layers() -> dict[str, tuple[Layer, ...]]:
    """Return for each kind a network of an input, a layer of this kind, and a ReLU."""
    found: dict[str, tuple[Layer, ...]] = {}
    for one in example_designs().values():
        layers = one.architecture.layers
        for layer in layers[1:]:
            found[layer.kind] = network_of(layer, layers[layer.inputs[0]].shape)
    return found


def network_of(layer: Layer, shape: tuple[int, ...]) -> tuple[Layer, ...]:
    source = Layer("input", "input", (), shape)
    joined = layer._replace(inputs=(0,) * len(layer.inputs), name="layer")
    if layer.kind == "concat":
        joined = joined._replace(shape=(*shape[:-1], shape[-1] * len(layer.inputs)))
    elif layer.kind in ("add", "multiply"):
        joined = joined._replace(shape=shape)
    return source, joined, Layer("activation", "relu", (1,), joined.shape, function="relu")


def failing_files(layers: Sequence[Layer]) -> set[str]:
    """Return the files that raise an error for a network."""
    failing: set[str] = set()
    for use in USES:
        try:
            use(layers)
        except Exception as error:
            files = [Path(frame.filename) for frame in traceback.extract_tb(error.__traceback__)]
            failing.add([name(file) for file in files if file.is_relative_to(PROJECT)][-1])
    return failing


@cache
def matches() -> list[tuple[str, set[str]]]:
    """Return the file and the cases of each `match` of `layer.kind` that `assert_never` ends."""
    found: list[tuple[str, set[str]]] = []
    for file in (PROJECT / "nas").rglob("*.py"):
        for match in ast.walk(ast.parse(file.read_text())):
            if not isinstance(match, ast.Match) or not ast.unparse(match.subject).endswith("layer.kind"):
                continue
            if "assert_never" in ast.unparse(match.cases[-1]):
                patterns = [node for case in match.cases for node in ast.walk(case.pattern)]
                values = [node.value for node in patterns if isinstance(node, ast.MatchValue)]
                found.append((name(file), {ast.literal_eval(value) for value in values}))
    return found


def files_without_case(kind: str) -> set[str]:
    """Return the files with a `match` over kinds of layers that lacks a kind."""
    return {file for file, values in matches() if kind not in values}


def name(file: Path) -> str:
    return file.relative_to(PROJECT).as_posix()


def missing_code(kinds: Sequence[str], examples: dict[str, tuple[Layer, ...]]) -> dict[str, set[str]]:
    """Return the files that need code for kinds of layers, with these kinds."""
    missing: dict[str, set[str]] = defaultdict(set)
    for kind in kinds:
        files = files_without_case(kind)
        if kind in examples:
            files |= failing_files(examples[kind])
        elif kind != "input":
            files.add("tests/exported_designs.py")
        for file in files:
            missing[file].add(kind)
    return dict(missing)


def test_every_kind_of_layer_is_handled_everywhere() -> None:
    missing = missing_code(get_args(Kind), example_layers())
    assert missing == {}, "kinds of layers that need code, by file"


def test_a_new_kind_of_layer_is_reported_for_each_file() -> None:
    layer = Layer("new_kind", "layer", (0,), (8, 8, 4))  # type: ignore[arg-type]  # not a Kind
    missing = missing_code(["new_kind"], {"new_kind": network_of(layer, (8, 8, 4))})
    assert set(missing) >= {
        "nas/architecture/cost.py",
        "nas/backends/keras_model.py",  # also used by nas/export/python
        "nas/backends/litert_file.py",
        "nas/backends/runtime_operators.py",
        "nas/backends/tensorflow_ops.py",
    }
    assert "tests/exported_designs.py" in missing_code(["new_kind"], {})
