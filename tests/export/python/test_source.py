"""The layers, weights, output and style of exported Python source."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.utils.class_weight import compute_class_weight

from nas.architecture import Design, Stage, Training, blocks
from nas.architecture.layers import Graph
from nas.backends import build_compiled_model, build_model
from nas.export.python import export_python, python_source
from nas.space import SearchSpace, sample, shipped_files
from tests.exported_designs import (
    GRAMMAR,
    IMAGE,
    design,
    example_designs,
    random_inputs,
    random_weights,
    shipped_designs,
    stages,
)
from tests.grammar import random_file
from tests.keras_recorder import plain, recorded


def without_augmentation(one: Design) -> Design:
    return Design.model_construct(architecture=one.architecture, training=Training())


def sampled_designs(count: int) -> list[Design]:
    space = SearchSpace.load("xception_like").bind((16, 16, 1), 10)
    rng = np.random.default_rng(7)
    return [space.design(sample(space.open_values, rng)) for _ in range(count)]


def run_module(source: str) -> dict[str, Any]:
    """Execute a source as an import does."""
    names: dict[str, Any] = {"__name__": "exported"}
    exec(compile(source, "model.py", "exec"), names)
    return names


@pytest.fixture(scope="module")
def ruff() -> Callable[..., str]:
    def run(*arguments: str) -> str:
        program = Path(sys.executable).with_name("ruff")
        done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
        return done.stdout + (done.stderr if done.returncode else "")

    return run


@pytest.mark.trains
@pytest.mark.parametrize("name", sorted(shipped_files()))
def test_the_source_of_a_design_of_a_shipped_space_builds_its_layers(name: str) -> None:
    space = SearchSpace.load(name)
    task = "segmentation" if "decoder" in space.data else "classification"
    space = space.bind((24, 16, 3), 4, task)
    rng = np.random.default_rng(7)
    for _ in range(200):
        one = space.design(sample(space.open_values, rng))
        assert recorded(python_source(without_augmentation(one))) == plain(one.architecture.layers)


@pytest.mark.trains
def test_the_source_of_any_valid_file_builds_its_layers() -> None:
    rng = np.random.default_rng(29)
    drawn = [design(random_file(rng)) for _ in range(300)]
    for one in (*drawn, *example_designs().values(), *shipped_designs().values()):
        assert recorded(python_source(without_augmentation(one))) == plain(one.architecture.layers)


def test_the_comparison_of_layers_detects_changes_of_the_source() -> None:
    one = design(GRAMMAR["blocks, strided"])
    source, expected = python_source(one), plain(one.architecture.layers)
    changes = [("relu", "elu"), ("use_bias=False", "use_bias=True"), ("width, 3,", "width, 5,"),
               ("[x, shortcut]", "[shortcut, x]"), ("(4, act", "(5, act")]  # fmt: skip
    for old, new in changes:
        assert old in source
        assert recorded(source.replace(old, new)) != expected


@pytest.mark.trains
def test_the_source_builds_the_same_weights_in_the_same_order() -> None:
    for one in sampled_designs(8):
        model = run_module(python_source(one))["build_model"]()
        expected = build_model(one.architecture)
        assert [(w.name, w.shape) for w in model.weights] == [(w.name, w.shape) for w in expected.weights]


@pytest.mark.parametrize(
    ("name", "one"), example_designs().items(), ids=lambda value: value if isinstance(value, str) else ""
)
def test_the_source_computes_the_same_output_as_the_model(name: str, one: Design) -> None:
    expected = build_model(one.architecture, one.training)
    model = run_module(python_source(one))["build_model"]()
    assert [w.shape for w in model.weights] == [w.shape for w in expected.weights]
    weights = random_weights(expected)
    expected.set_weights(weights)
    model.set_weights(weights)
    x = random_inputs(one.architecture, 2)
    np.testing.assert_allclose(
        model(x, training=False), expected(x, training=False), rtol=1e-4, atol=1e-5, err_msg=name
    )


@pytest.mark.trains
def test_the_source_compiles_the_same_training_as_the_search() -> None:
    for name in ("training", "special characters", "binary", "multi_label", "regression"):
        one = design(GRAMMAR[name])
        names = run_module(python_source(one))
        cosine = one.training.schedule == "cosine"
        model = names["compile_model"](names["build_model"](), **({"steps": 8} if cosine else {}))
        expected = build_compiled_model(one.architecture, one.training)
        assert type(model.optimizer) is type(expected.optimizer)
        assert model.optimizer.weight_decay == expected.optimizer.weight_decay
        assert model.loss == expected.loss
        assert float(model.optimizer.learning_rate) == pytest.approx(one.training.learning_rate)
        several = one.architecture.task in ("multi_label", "regression")
        x, y = random_inputs(one.architecture, 8), np.zeros((8, *expected.output_shape[1:] * several), int)
        expected.fit(x, y, verbose=0)
        assert model.fit(x, y, verbose=0).history.keys() == expected.history.history.keys()
        if cosine:
            model.optimizer.iterations.assign(8)
            assert float(model.optimizer.learning_rate) == pytest.approx(0, abs=1e-9)


@pytest.mark.trains
@pytest.mark.parametrize("name", [name for name in GRAMMAR if name[:5] in ("augme", "mixup", "moved")])
def test_the_usage_in_the_docstring_trains_with_the_augmentation(name: str) -> None:
    one = design(GRAMMAR[name])
    source, architecture = python_source(one), one.architecture
    usage = [line[4:] for line in source.split('"""')[1].splitlines() if line.startswith("    ")]
    names, rng = run_module(source), np.random.default_rng(0)
    size = architecture.input_shape[:2] if architecture.task == "segmentation" else ()
    names["x_train"] = random_inputs(architecture, 10)
    names["y_train"] = rng.integers(0, architecture.classes, (10, *size))
    exec("\n".join(usage).replace("epochs=20", "epochs=2, verbose=0"), names)
    model, expected = names["model"], build_compiled_model(architecture, one.training)
    assert np.isfinite(model.history.history["loss"]).all()
    assert [
        layer.get_config() | {"name": "", "seed": 0} for layer in model.layers if "rand" in layer.name
    ] == [
        layer.get_config() | {"name": "", "seed": 0} for layer in expected.layers if "augment" in layer.name
    ]
    configs = [one if isinstance(one, str) else one.get_config() for one in (model.loss, expected.loss)]
    assert configs[0] == configs[1]


@pytest.mark.trains
def test_exported_batches_mix_images_labels_and_weights() -> None:
    names = run_module(python_source(design(GRAMMAR["mixup"])))
    x, y = np.arange(8.0)[:, None, None, None] * np.ones((8, 2, 2, 1)), np.eye(4)[np.arange(8) % 4]
    batches = names["mixed_batches"](x, y, 6, {0: 1.0, 1: 2.0, 2: 4.0, 3: 8.0})
    found = [next(batches) for _ in range(40)]
    assert [len(images) for images, _, _ in found[:4]] == [6, 2, 6, 2]
    images, labels, weights = (np.concatenate(parts) for parts in zip(*found, strict=True))
    np.testing.assert_allclose(labels.sum(axis=1), 1)
    np.testing.assert_allclose(weights, labels @ [1, 2, 4, 8])
    assert len(np.unique(images)) > 60
    pure = np.isclose(images[:, 0, 0, 0] % 1, 0)
    np.testing.assert_allclose(labels[pure & (labels.max(axis=1) > 0.999)].max(axis=1), 1, atol=0.001)


@pytest.mark.trains
def test_exported_batches_move_masks_with_their_images() -> None:
    names = run_module(python_source(design(GRAMMAR["moved masks"])))
    y = np.kron(np.random.default_rng(0).integers(0, 5, (10, 2, 2)), np.ones((8, 6), int))[:, :15, :11]
    x = np.repeat(y[..., None], 3, axis=-1).astype(np.float32)
    images, masks = next(names["moved_batches"](x, y, 10))
    images, masks = np.array(images)[..., 0], np.array(masks)[..., 0]
    inside = np.isclose(images, np.round(images), atol=1e-3)
    assert set(np.unique(masks)) <= set(range(5))
    assert (np.round(images) == masks)[inside].mean() > 0.85  # each layer rounds a mask once more
    assert (masks != y).mean() > 0.1


@pytest.mark.trains
def test_the_source_weighs_classes_as_scikit_learn() -> None:
    one = design({**GRAMMAR["binary"], "training": {"class_weight": "balanced", "batch_size": 16}})
    source = python_source(one)
    assert "epochs=20, class_weight=balanced_class_weight(y_train))" in source
    names, y = run_module(source), np.repeat([0, 1], [30, 10])
    expected = compute_class_weight("balanced", classes=np.array([0, 1]), y=y)
    assert names["balanced_class_weight"](y) == pytest.approx(dict(enumerate(expected)))
    model = names["compile_model"](names["build_model"]())
    x = random_inputs(one.architecture, len(y))
    model.fit(x, y, class_weight=names["balanced_class_weight"](y), verbose=0)
    assert "class_weight" not in python_source(design(GRAMMAR["binary"]))


def test_the_source_is_short_and_leaves_out_defaults() -> None:
    source = python_source(shipped_designs()["mini_xception"])
    assert source.startswith('"""mini_xception: a convolutional network of 721,857 parameters, 718,849')
    assert "for width in (32, 64, 128, 256, 512):\n        x = separable_residual_block(x, width)" in source
    assert source.count("layers.SeparableConv2D") == 1
    assert source.count("\n") < 60
    for one in sampled_designs(60):
        text = python_source(one)
        body = text[text.index("def ") :]
        assert len(body.splitlines()) < 110
        for default in ("strides=1)", "groups=1)", "dilation_rate=1)", 'padding="valid"', "=None)(x)"):
            assert default not in body


def test_the_source_passes_ruff(tmp_path: Path, ruff: Callable[..., str]) -> None:
    rng = np.random.default_rng(23)
    fuzzed = [design(random_file(rng)) for _ in range(100)]
    named = [*example_designs().values(), *shipped_designs().values()]
    for number, one in enumerate([*named, *sampled_designs(60), *fuzzed]):
        (tmp_path / f"model{number}.py").write_text(python_source(one), encoding="utf-8")
    rules = "--select=E,F,W,I,B,UP,SIM,C4,RUF,PT,N,ARG,D1"
    common = ("--isolated", "--no-cache", "--line-length=100", str(tmp_path))
    assert ruff("check", rules, "--quiet", *common) == ""
    assert ruff("format", "--diff", "--quiet", *common) == ""


CLEAN_PROCESS = """
import runpy, sys
import numpy as np
names = runpy.run_path("model.py")
model = names["compile_model"](names["build_model"]())
model.load_weights("model.weights.h5")
print(model.count_params())
np.save("y.npy", model.predict(np.load("x.npy"), verbose=0))
assert "nas" not in sys.modules
runpy.run_path("model.py", run_name="__main__")
"""


@pytest.mark.trains
def test_the_source_runs_in_a_process_with_keras_only(tmp_path: Path) -> None:
    one = design(GRAMMAR["blocks, strided"])
    model = build_model(one.architecture)
    weights = random_weights(model)
    model.set_weights(weights)
    assert export_python(one, weights, tmp_path / "model.py") == tmp_path / "model.py"
    np.save(tmp_path / "x.npy", random_inputs(one.architecture))
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-P", "-c", CLEAN_PROCESS],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[0]) == model.count_params()
    assert "Total params" in done.stdout
    np.testing.assert_allclose(
        np.load(tmp_path / "y.npy"), model(random_inputs(one.architecture), training=False), atol=1e-5
    )


def test_a_new_kind_of_convolution_is_exported_from_its_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    def twin_branches(graph: Graph, x: int, part: Stage, name: str, stride: int) -> int:
        start = len(graph.layers)
        y = graph.conv(x, f"{name}_wide", part.width, 5, stride=stride)
        y = graph.batch_norm(y, f"{name}_norm")
        z = graph.conv(x, f"{name}_point", part.width, 1, stride=stride)
        y = graph.merge((y, z), f"{name}_sum", "add")
        graph.add_span("unit", start, "twin convolution")
        return graph.activation(y, f"{name}_act", "relu")

    monkeypatch.setattr(blocks, "_convolution", twin_branches)
    one = design({**IMAGE, **stages(3, growth=2, convs=2, shrink="strided", residual="projection")})
    source = python_source(one)
    assert recorded(source) == plain(one.architecture.layers)
    assert source.count("def ") == 4
    assert "def twin_conv(x, width, stride=1):" in source
    assert "def twin_residual_block(x, width):" in source
