"""Exported files, held against the Keras model that they stand for."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nas.architecture import Architecture, Design, Training, read_yaml
from nas.errors import ConversionError, InputError, RunError
from nas.export import ExportOptions, export_files, export_litert, export_onnx
from nas.export.formats import export
from nas.export.keras_file import export_keras
from nas.export.python.source import export_python, python_source
from nas.space import SearchSpace, sample, shipped_files
from tests.grammar import random_file
from tests.keras_recorder import plain, recorded

pytestmark = [
    # Keras 3.15 gives NumPy 2.4 TensorFlow's variables to copy, whose __array__ takes no copy yet
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning"),
]

IMAGE = {"input_shape": [16, 16, 3], "classes": 4}
SCENE = {"input_shape": [15, 11, 3], "classes": 5, "task": "segmentation"}
SIGNAL = {"input_shape": [64, 2], "classes": 3}


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
    "places of normalization": {
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
    "strange words": {
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


def every_design() -> dict[str, Design]:
    rng = np.random.default_rng(11)
    drawn = {f"drawn {number}": design(random_file(rng)) for number in range(6)}
    return {**{name: design(data) for name, data in GRAMMAR.items()}, **drawn}


def without_augmentation(one: Design) -> Design:
    return Design.model_construct(architecture=one.architecture, training=Training())


def sampled_designs(count: int) -> list[Design]:
    space = SearchSpace.load("xception_like").bind((16, 16, 1), 10)
    rng = np.random.default_rng(7)
    return [space.design(sample(space.open_values, rng)) for _ in range(count)]


def module(source: str) -> dict[str, Any]:
    """Run a source as a module would be on import."""
    names: dict[str, Any] = {"__name__": "exported"}
    exec(compile(source, "model.py", "exec"), names)
    return names


def random_weights(model: Any, seed: int = 3) -> list[np.ndarray]:
    """Draw weights with which no layer is dead and none overflows."""
    rng = np.random.default_rng(seed)
    found = []
    for weight in model.weights:
        fan = max(1, int(np.prod(weight.shape[:-1])))
        value = rng.normal(size=weight.shape, scale=1 / np.sqrt(fan))
        positive = "variance" in weight.path or "gamma" in weight.path
        found.append((np.abs(value) + 0.5 if positive else value).astype(np.float32))
    return found


def pixels(architecture: Architecture, count: int = 4, seed: int = 5) -> np.ndarray:
    rng = np.random.default_rng(seed)
    high = 255 if architecture.rescale else 1
    return rng.uniform(0, high, (count, *architecture.input_shape)).astype(np.float32)


@pytest.fixture(scope="module")
def ruff() -> Callable[..., str]:
    def run(*arguments: str) -> str:
        program = Path(sys.executable).with_name("ruff")
        done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
        return done.stdout + (done.stderr if done.returncode else "")

    return run


@pytest.mark.parametrize("name", sorted(shipped_files()))
def test_the_source_of_any_point_of_a_shipped_space_has_its_layers(name: str) -> None:
    space = SearchSpace.load(name)
    task = "segmentation" if "decoder" in space.data else "classification"
    space = space.bind((24, 16, 3), 4, task)
    rng = np.random.default_rng(7)
    for _ in range(200):
        one = space.design(sample(space.open_values, rng))
        assert recorded(python_source(without_augmentation(one))) == plain(one.architecture.layers)


def test_the_source_of_anything_in_the_grammar_has_its_layers() -> None:
    rng = np.random.default_rng(29)
    drawn = [design(random_file(rng)) for _ in range(300)]
    for one in (*drawn, *every_design().values(), *shipped_designs().values()):
        assert recorded(python_source(without_augmentation(one))) == plain(one.architecture.layers)


def test_another_source_is_seen_to_be_another() -> None:
    one = design(GRAMMAR["blocks, strided"])
    source, expected = python_source(one), plain(one.architecture.layers)
    changes = [("relu", "elu"), ("use_bias=False", "use_bias=True"), ("width, 3,", "width, 5,"),
               ("[x, shortcut]", "[shortcut, x]"), ("(4, act", "(5, act")]  # fmt: skip
    for old, new in changes:
        assert old in source
        assert recorded(source.replace(old, new)) != expected


def test_the_source_has_the_weights_of_sampled_architectures_in_their_order() -> None:
    from nas.backends import build_model

    for one in sampled_designs(8):
        model = module(python_source(one))["build_model"]()
        expected = build_model(one.architecture)
        assert [(w.name, w.shape) for w in model.weights] == [(w.name, w.shape) for w in expected.weights]


@pytest.mark.parametrize(
    ("name", "one"), every_design().items(), ids=lambda value: value if isinstance(value, str) else ""
)
def test_the_source_computes_what_the_model_does(name: str, one: Design) -> None:
    from nas.backends import build_model

    expected = build_model(one.architecture, one.training)
    model = module(python_source(one))["build_model"]()
    assert [w.shape for w in model.weights] == [w.shape for w in expected.weights]
    weights = random_weights(expected)
    expected.set_weights(weights)
    model.set_weights(weights)
    x = pixels(one.architecture, 2)
    np.testing.assert_allclose(
        model(x, training=False), expected(x, training=False), rtol=1e-4, atol=1e-5, err_msg=name
    )


def test_the_source_trains_as_the_search_does() -> None:
    from nas.backends import build_compiled_model

    for name in ("training", "strange words", "binary"):
        one = design(GRAMMAR[name])
        names = module(python_source(one))
        cosine = one.training.schedule == "cosine"
        model = names["compile_model"](names["build_model"](), **({"steps": 8} if cosine else {}))
        expected = build_compiled_model(one.architecture, one.training)
        assert type(model.optimizer) is type(expected.optimizer)
        assert model.optimizer.weight_decay == expected.optimizer.weight_decay
        assert model.loss == expected.loss
        assert float(model.optimizer.learning_rate) == pytest.approx(one.training.learning_rate)
        x, y = pixels(one.architecture, 8), np.zeros(8, int)
        model.fit(x, y, verbose=0)
        if cosine:
            model.optimizer.iterations.assign(8)
            assert float(model.optimizer.learning_rate) == pytest.approx(0, abs=1e-9)


def test_the_source_reads_as_a_person_would_write_it() -> None:
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


def test_the_source_is_clean_for_ruff(tmp_path: Path, ruff: Callable[..., str]) -> None:
    rng = np.random.default_rng(23)
    fuzzed = [design(random_file(rng)) for _ in range(100)]
    named = [*every_design().values(), *shipped_designs().values()]
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


def test_the_source_runs_in_a_process_that_has_keras_alone(tmp_path: Path) -> None:
    from nas.backends import build_model

    one = design(GRAMMAR["blocks, strided"])
    model = build_model(one.architecture)
    weights = random_weights(model)
    model.set_weights(weights)
    assert export_python(one, weights, tmp_path / "model.py") == tmp_path / "model.py"
    np.save(tmp_path / "x.npy", pixels(one.architecture))
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-P", "-c", CLEAN_PROCESS],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[0]) == model.count_params()
    assert "Total params" in done.stdout
    np.testing.assert_allclose(
        np.load(tmp_path / "y.npy"), model(pixels(one.architecture), training=False), atol=1e-5
    )


def test_a_keras_file_is_ready_to_train_and_keeps_its_weights(tmp_path: Path) -> None:
    import keras

    from nas.backends import build_model

    one = design(GRAMMAR["training"])
    fresh = keras.saving.load_model(export_keras(one, None, tmp_path / "fresh.keras"))
    assert "accuracy" in fresh.evaluate(pixels(one.architecture), np.zeros(4), verbose=0, return_dict=True)
    history = fresh.fit(pixels(one.architecture), np.zeros(4), verbose=0).history
    assert np.isfinite(history["loss"][0])
    model = build_model(one.architecture)
    weights = random_weights(model)
    model.set_weights(weights)
    kept = keras.saving.load_model(export_keras(one, weights, tmp_path / "kept.keras"))
    x = pixels(one.architecture)
    np.testing.assert_allclose(kept(x, training=False), model(x, training=False), atol=1e-6)
    headless = keras.saving.load_model(
        export_keras(design(GRAMMAR["no head"]), None, tmp_path / "headless.keras")
    )
    assert not headless.compiled


def run_litert(path: Path, x: np.ndarray) -> np.ndarray:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path))
    interpreter.allocate_tensors()
    (source,), (target,) = interpreter.get_input_details(), interpreter.get_output_details()
    assert source["dtype"] is np.float32
    assert target["dtype"] is np.float32
    found = []
    for image in x:
        interpreter.set_tensor(source["index"], image[None])
        interpreter.invoke()
        found.append(interpreter.get_tensor(target["index"])[0])
    return np.array(found)


@pytest.fixture(scope="module")
def trained() -> tuple[Design, Any]:
    """Train a network for a moment to tell where an image is bright: int8 needs classes that stand apart."""
    import keras

    from nas.backends import build_compiled_model

    keras.utils.set_random_seed(0)
    data = {**IMAGE, **stages(2, 16, convs=2, shrink="max_pool", normalization="between"),
            "head": {"pooling": "flatten"}, "training": {"learning_rate": 0.003}}  # fmt: skip
    one = design(data)
    model = build_compiled_model(one.architecture, one.training)
    x, y = bright_corners(512)
    model.fit(x, y, epochs=4, batch_size=32, verbose=0)
    return one, model


def bright_corners(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.uniform(0, 120, (count, 16, 16, 3)).astype(np.float32)
    y = rng.integers(0, 4, count)
    for image, corner in zip(x, y, strict=True):
        row, column = 8 * (corner // 2), 8 * (corner % 2)
        image[row : row + 8, column : column + 8] += 100
    return x, y


def test_litert_files_agree_with_keras_and_shrink_with_their_precision(
    tmp_path: Path, trained: tuple[Design, Any], capfd: pytest.CaptureFixture[str]
) -> None:
    one, model = trained
    x, _ = bright_corners(64, seed=1)
    expected = model(x, training=False).numpy()
    sizes = {}
    capfd.readouterr()
    for precision in ("float32", "float16", "dynamic_int8", "int8"):
        path = tmp_path / f"{precision}.tflite"
        calibration = bright_corners(64, seed=2)[0] if precision == "int8" else None
        export_litert(one.architecture, model.get_weights(), path, precision, calibration)
        assert capfd.readouterr() == ("", ""), "the converter must not talk"
        sizes[precision] = path.stat().st_size
        found = run_litert(path, x)
        capfd.readouterr()
        if precision == "float32":
            np.testing.assert_allclose(found, expected, atol=1e-5)
        elif precision == "float16":
            np.testing.assert_allclose(found, expected, atol=1e-2)
        else:
            assert np.mean(found.argmax(-1) == expected.argmax(-1)) >= 0.95
    assert sizes["float32"] > sizes["float16"] > sizes["int8"]
    assert sizes["float16"] > sizes["dynamic_int8"]


def test_signals_and_segmentation_become_litert_files(tmp_path: Path) -> None:
    from nas.backends import build_model

    for name in ("signal, depthwise", "decoder, from pools"):
        one = design(GRAMMAR[name])
        model = build_model(one.architecture)
        weights = random_weights(model)
        model.set_weights(weights)
        x = pixels(one.architecture)
        path = export_litert(one.architecture, weights, tmp_path / "model.tflite")
        np.testing.assert_allclose(run_litert(path, x), model(x, training=False), atol=1e-5)


def test_onnx_files_agree_with_keras(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    from nas.backends import build_model

    for name in ("groups", "flatten and dense", "decoder, from pools"):
        one = design(GRAMMAR[name])
        model = build_model(one.architecture)
        weights = random_weights(model)
        model.set_weights(weights)
        capfd.readouterr()
        path = export_onnx(one.architecture, weights, tmp_path / "model.onnx")
        assert capfd.readouterr() == ("", ""), "the converter must not talk"
        session = onnxruntime.InferenceSession(path)
        (source,) = session.get_inputs()
        assert (source.name, source.shape) == ("input", ["batch", *one.architecture.input_shape])
        x = pixels(one.architecture)
        (found,) = session.run(None, {"input": x})
        np.testing.assert_allclose(found, model(x, training=False), atol=1e-4)


def test_onnx_says_how_to_install_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tf2onnx", None)
    with pytest.raises(InputError, match=r"install nas\[onnx\]"):
        export_onnx(design(GRAMMAR["head alone"]).architecture, None, tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_a_folder_gets_each_format_and_a_file_that_opens_again_as_a_space(
    tmp_path: Path, trained: tuple[Design, Any]
) -> None:
    one, model = trained
    paths = export(one, model.get_weights(), tmp_path / "deep" / "out", ["keras", "python"])
    assert {name: path.name for name, path in paths.items()} == {
        "keras": "model.keras",
        "python": "model.py",
        "weights": "model.weights.h5",
        "architecture": "architecture.yaml",
    }
    assert sorted(path.name for path in (tmp_path / "deep" / "out").iterdir()) == sorted(
        path.name for path in paths.values()
    )
    text = paths["architecture"].read_text()
    again = design(read_yaml(text, "it"))
    assert again == one
    opened = text.replace("width: 16", "width: {choice: [16, 24]}", 1)
    assert opened != text
    assert SearchSpace(read_yaml(opened, "it")).settings_count() == 2


def bad_exports(one: Design, weights: list[np.ndarray]) -> list[tuple[ExportOptions, Any, str]]:
    images = np.zeros((3, 8, 8, 3), np.float32)
    return [
        (ExportOptions(("kers",)), weights, "did you mean 'keras'"),
        (ExportOptions(("litert",), "int4"), weights, "did you mean 'int8'"),
        (ExportOptions(("litert",), "int8"), weights, "needs calibration images, got none"),
        (ExportOptions(("litert",), "int8", images), weights, r"\(16, 16, 3\), got \(8, 8, 3\)"),
        (ExportOptions(("keras",)), weights[1:], "fresh weights"),
        (ExportOptions(("python",)), weights[1:], "fresh weights"),
        (ExportOptions(("litert",)), weights[1:], "fresh weights"),
    ]


@pytest.mark.parametrize("number", range(7))
def test_what_cannot_be_exported_is_said_in_a_sentence(
    tmp_path: Path, trained: tuple[Design, Any], number: int
) -> None:
    one, model = trained
    options, weights, sentence = bad_exports(one, model.get_weights())[number]
    with pytest.raises(InputError, match=sentence):
        export_files(one, weights, tmp_path, options)


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    one = design(GRAMMAR["head alone"])
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match="must be writable"):
        export(one, None, tmp_path / "file", ["python"])
    with pytest.raises(InputError, match="must be writable"):
        export(one, None, Path("/proc/nowhere"), ["python"])


def test_a_full_disk_leaves_what_was_there(tmp_path: Path) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("needs /dev/full")
    from nas.files import atomic_path

    path = tmp_path / "model.py"
    path.write_text("as it was")

    def fill() -> None:
        with atomic_path(path) as unfinished:
            unfinished.symlink_to(full)
            unfinished.write_text("new")

    with pytest.raises(RunError, match="disk is full"):
        fill()
    assert path.read_text() == "as it was"
    assert [one.name for one in tmp_path.iterdir()] == ["model.py"]


def test_what_a_converter_refuses_is_a_conversion_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = design({**IMAGE, **stages(1)})
    import tensorflow as tf

    def refuse(*_: Any) -> bytes:
        raise RuntimeError("loc(callsite): error: 'tf.Strange' op is neither a custom op nor a flex op\nmore")

    monkeypatch.setattr(tf.lite.TFLiteConverter, "convert", refuse, raising=False)
    images = np.zeros((2, *one.architecture.input_shape), np.float32)
    with pytest.raises(ConversionError, match=r"to int8: .*tf\.Strange"):
        export_litert(one.architecture, None, tmp_path / "model.tflite", "int8", images)
    assert not list(tmp_path.iterdir())
