"""Latency and the LiteRT files it is taken from, held against TensorFlow's converter and LiteRT itself."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from nas._arena import arena_bytes
from nas._litert_file import litert_bytes
from nas.architecture import Architecture
from nas.errors import ConversionError, InputError
from nas.latency import Device, LatencyOptions, estimate, measure, measure_file, this_device

NETWORKS = {
    "xception": {
        "input_shape": [32, 32, 3],
        "classes": 10,
        "stem": {"width": 24, "kernel_size": 5, "bias": False, "normalization": "between"},
        "block": {
            "convs": 2,
            "residual": "projection",
            "shortcut_bias": False,
            "normalization": "before",
            "pool_size": 3,
            "dropout": 0.1,
        },
        "stages": [
            {"width": 16, "conv": "separable", "shrink": "max_pool"},
            {"width": 24, "conv": "depthwise_pointwise", "kernel_size": 5, "shrink": "strided"},
            {"width": 36, "conv": "standard", "shrink": "average_pool", "activation": "silu"},
        ],
        "head": {"dropout": 0.25},
    },
    "bottleneck": {
        "input_shape": [17, 17, 3],
        "classes": 5,
        "block": {"activation": "hard_silu", "normalization": "between", "conv": "inverted_bottleneck"},
        "stages": [
            {"width": 8, "shrink": "strided", "squeeze_excitation": 0.25},
            {"width": 8, "residual": "identity"},
        ],
    },
    "activations": {
        "input_shape": [16, 16, 3],
        "classes": 2,
        "task": "binary",
        "block": {"normalization": "after"},
        "stages": [
            {"width": 8, "activation": name}
            for name in ("leaky_relu", "elu", "selu", "gelu", "silu", "tanh", "relu6")
        ],
        "head": {"pooling": "flatten", "dense": [16], "activation": "relu"},
    },
    "variants": {
        "input_shape": [17, 17, 3],
        "classes": 5,
        "stages": [
            {"width": 8, "dilation": 2, "padding": "valid"},
            {"width": 16, "groups": 4, "shrink": "max_pool", "padding": "valid"},
            {"width": 16, "conv": "depthwise_pointwise", "depth_multiplier": 2, "normalization": "between"},
            {"width": 16, "conv": "separable", "depth_multiplier": 2, "dilation": 2},
        ],
        "head": {"pooling": "global_max"},
    },
    "transposed": {
        "task": "segmentation",
        "input_shape": [30, 30, 3],
        "classes": 4,
        "stages": [{"width": 8, "shrink": "max_pool"}, {"width": 16, "shrink": "strided"}],
        "decoder": {"upsample": "transposed", "skip": "concat", "normalization": "between"},
    },
    "interpolated": {
        "task": "segmentation",
        "input_shape": [30, 30, 3],
        "classes": 4,
        "rescale": False,
        "stages": [{"width": 8, "shrink": "max_pool"}, {"width": 16, "shrink": "strided"}],
        "decoder": {"upsample": "interpolated", "skip": "add", "normalization": "after"},
    },
    "sequence": {
        "input_shape": [64, 3],
        "classes": 5,
        "stages": [
            {"width": 8, "shrink": "max_pool", "normalization": "before"},
            {"width": 8, "conv": "separable", "shrink": "strided", "squeeze_excitation": 0.5},
            {"width": 8, "conv": "depthwise_pointwise", "residual": "projection"},
        ],
    },
}


def architecture(name: str) -> Architecture:
    return Architecture.from_dict(NETWORKS[name])


def operators(content: bytes) -> list[str]:
    """Each operator with its output's shape and the activation in it, RESHAPE left out: it moves nothing."""
    from ai_edge_litert import schema_py_generated as schema

    names = {number: name for name, number in vars(schema.BuiltinOperator).items() if isinstance(number, int)}
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    graph = model.subgraphs[0]
    found = []
    for operator in graph.operators:
        name = names[model.operatorCodes[operator.opcodeIndex].builtinCode]
        shape = "x".join(str(size) for size in graph.tensors[operator.outputs[0]].shape)
        fused = getattr(operator.builtinOptions, "fusedActivationFunction", 0)
        kinds = [graph.tensors[place].type for place in operator.inputs if place >= 0]
        found.append(f"{name} {shape} {fused} {kinds}")
    return [text for text in found if not text.startswith("RESHAPE")]


def run(content: bytes, images: np.ndarray) -> np.ndarray:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=content)
    interpreter.allocate_tensors()
    entry, result = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    answers = []
    for image in images:
        interpreter.set_tensor(entry["index"], image[np.newaxis])
        interpreter.invoke()
        answers.append(interpreter.get_tensor(result["index"])[0])
    return np.array(answers)


@pytest.fixture(scope="module", params=list(NETWORKS))
def converted(request):
    """A network, its weights, images, Keras' answers, and the file that TensorFlow's converter writes."""
    import keras
    import tensorflow as tf

    from nas.model import build

    network = architecture(request.param)
    keras.utils.set_random_seed(0)
    model = build(network)
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([rng.uniform(0.5, 1.5, array.shape) for array in layer.get_weights()])
        else:
            layer.set_weights(
                [rng.normal(0, 0.1, w.shape) if w.ndim == 1 else w for w in layer.get_weights()]
            )
    entry = keras.Input(batch_shape=(1, *network.input_shape))
    images = rng.uniform(0, 255, (2, *network.input_shape)).astype(np.float32)
    if not network.rescale:
        images /= 255
    single = keras.Model(entry, model(entry))
    contents = {}
    for precision in ("float32", "float16", "dynamic_int8") if request.param == "xception" else ("float32",):
        converter = tf.lite.TFLiteConverter.from_keras_model(single)
        converter.optimizations = [] if precision == "float32" else [tf.lite.Optimize.DEFAULT]
        if precision == "float16":
            converter.target_spec.supported_types = [tf.float16]
        contents[precision] = converter.convert()
    weights = {layer.name: layer.get_weights() for layer in model.layers}
    return network, weights, images, model(images, training=False).numpy(), contents


def test_file_answers_as_keras(converted):
    network, weights, images, answers, _ = converted
    np.testing.assert_allclose(run(litert_bytes(network, weights), images), answers, atol=1e-5)


def test_file_has_the_converters_operators_and_no_more_bytes(converted):
    network, weights, images, _, contents = converted
    for precision, content in contents.items():
        ours = litert_bytes(network, weights, precision)
        mine, theirs = operators(ours), operators(content)
        if precision == "float16":  # constants are widened in another order
            mine, theirs = sorted(mine), sorted(theirs)
        if network.task == "segmentation":  # a skip's convolution stands elsewhere
            mine, theirs = sorted(mine), sorted(theirs)
        if len(network.input_shape) == 2:  # the converter lifts to images and back again and again
            mine, theirs = ([text.split()[0] for text in texts] for texts in (mine, theirs))
        assert mine == theirs
        assert 0.4 * len(content) < len(ours) <= len(content)
        np.testing.assert_allclose(run(ours, images), run(content, images), atol=1e-4)


def test_random_weights_make_the_same_file_but_for_their_values(converted):
    network, weights, *_ = converted
    assert operators(litert_bytes(network)) == operators(litert_bytes(network, weights))
    assert litert_bytes(network) == litert_bytes(network)


@pytest.mark.parametrize("name", ["xception", "bottleneck", "variants", "transposed"])
def test_arena_is_what_litert_lays_out(name):
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    content = litert_bytes(architecture(name))
    reference = OpResolverType.BUILTIN_REF  # operators without scratch memory
    interpreter = Interpreter(model_content=content, experimental_op_resolver_type=reference)
    interpreter.allocate_tensors()
    ends = []
    for operator in interpreter._get_ops_details():
        for place in (*operator["outputs"], *interpreter._interpreter.InputIndices()):
            view = interpreter.tensor(place)()
            ends.append((view.__array_interface__["data"][0], view.nbytes))
            del view
    extent = max(begin + size for begin, size in ends) - min(begin for begin, _ in ends)
    assert arena_bytes(content) == pytest.approx(extent, rel=0.15 if name == "transposed" else 0.01)


def test_measures_an_architecture():
    network = architecture("xception")
    options = LatencyOptions(budget_seconds=0.5)
    latency = measure(network, options)
    assert 0 < latency.p50_ms <= latency.p95_ms
    assert latency.cv >= 0
    assert latency.runs >= 3
    assert latency.size_bytes == len(litert_bytes(network))
    assert latency.arena_bytes == arena_bytes(litert_bytes(network))
    assert latency.device == this_device(options)


def test_a_heavier_network_takes_longer():
    def network(width):
        return Architecture.from_dict(
            {"input_shape": [32, 32, 3], "classes": 2, "stages": [{"width": width}] * 2}
        )

    options = LatencyOptions(budget_seconds=0.5)
    assert measure(network(128), options).p50_ms > 3 * measure(network(8), options).p50_ms


def test_precision_and_threads_reach_the_file_and_the_device():
    network = architecture("xception")
    single = measure(network, LatencyOptions(budget_seconds=0.3))
    half = measure(network, LatencyOptions("float16", threads=2, budget_seconds=0.3))
    assert half.size_bytes < 0.8 * single.size_bytes
    assert (half.device.precision, half.device.threads) == ("float16", 2)
    assert half.device.fingerprint != single.device.fingerprint
    assert half.device.key != single.device.key


def test_every_part_of_a_device_is_in_its_fingerprint():
    device = Device("Some CPU", 4, 1, "litert", "2.0", "float32")
    others = [
        Device("Other CPU", 4, 1, "litert", "2.0", "float32"),
        Device("Some CPU", 8, 1, "litert", "2.0", "float32"),
        Device("Some CPU", 4, 2, "litert", "2.0", "float32"),
        Device("Some CPU", 4, 1, "onnx", "2.0", "float32"),
        Device("Some CPU", 4, 1, "litert", "2.1", "float32"),
        Device("Some CPU", 4, 1, "litert", "2.0", "int8"),
    ]
    assert len({device.fingerprint, *(other.fingerprint for other in others)}) == 7


def test_measures_a_file_of_either_runtime(tmp_path):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    lite = tmp_path / "network.tflite"
    lite.write_bytes(litert_bytes(architecture("sequence")))
    latency = measure_file(lite, LatencyOptions(budget_seconds=0.3))
    assert (latency.device.runtime, latency.size_bytes) == ("litert", lite.stat().st_size)
    kind = onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Relu", ["x"], ["y"])],
        "network",
        [onnx.helper.make_tensor_value_info("x", kind, ["batch", 3])],
        [onnx.helper.make_tensor_value_info("y", kind, ["batch", 3])],
    )
    model = onnx.helper.make_model(graph, ir_version=10, opset_imports=[onnx.helper.make_opsetid("", 20)])
    other = tmp_path / "network.onnx"
    other.write_bytes(model.SerializeToString())
    latency = measure_file(other, LatencyOptions(budget_seconds=0.3))
    assert (latency.device.runtime, latency.arena_bytes) == ("onnx", None)
    assert 0 < latency.p50_ms < 5


def test_disturbed_rounds_do_not_move_the_figure():
    figure, noise = estimate([1.0, 1.0, 1.0, 1.0, 1.0, 7.0, 9.0, 30.0])
    assert figure == 1.0
    assert 0 <= noise < 0.2
    assert estimate([1.0] * 8) == (1.0, 0.0)
    assert estimate([1.0, 1.4, 1.8, 2.2])[1] > estimate([1.0, 1.01, 1.02, 1.03])[1] > 0


def test_a_file_that_cannot_run_is_a_conversion_error(tmp_path):
    for suffix in (".tflite", ".onnx"):
        broken = tmp_path / f"broken{suffix}"
        broken.write_bytes(b"no model" * 50)
        with pytest.raises(ConversionError, match="must be able to run the file, but: "):
            measure_file(broken)


def test_what_cannot_be_measured_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"must end in \.tflite or \.onnx, got 'a\.h5'"):
        measure_file("a.h5")
    with pytest.raises(InputError, match=r"must be readable, got .*No such file"):
        measure_file(tmp_path / "none.tflite")
    with pytest.raises(InputError, match="int8 must be calibrated on images, got none; give"):
        measure(architecture("xception"), LatencyOptions("int8"))
    with pytest.raises(InputError, match="precision must be known, got 'int4'; did you mean 'int8'"):
        LatencyOptions("int4")
    with pytest.raises(InputError, match="threads must be at least 1, got 0"):
        LatencyOptions(threads=0)
    with pytest.raises(InputError, match="runtime onnx measures precision float32, got int8"):
        LatencyOptions("int8", runtime="onnx")


def test_onnx_runtime_missing_is_said_with_the_fix(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    (tmp_path / "network.onnx").write_bytes(b"")
    with pytest.raises(InputError, match=r"pip install 'nas\[onnx\]'"):
        measure_file(tmp_path / "network.onnx")


HOLD = """
from nas._machine import one_at_a_time
with one_at_a_time():
    print("held", flush=True)
    input()
"""


def test_one_measurement_at_a_time_even_when_a_holder_is_killed(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        cwd=Path(__file__).parents[1],
    )  # fmt: skip
    try:
        assert holder.stdout.readline() == "held\n"
        done = threading.Event()
        options = LatencyOptions(budget_seconds=0.05)
        waiting = threading.Thread(target=lambda: (measure(architecture("sequence"), options), done.set()))
        waiting.start()
        assert not done.wait(1.0)
        os.kill(holder.pid, signal.SIGKILL)
        assert done.wait(60)
        waiting.join()
    finally:
        holder.kill()
        holder.communicate()


ALONE = """
import sys
from nas.architecture import Architecture
from nas.latency import LatencyOptions, measure
network = Architecture.from_dict({"input_shape": [8, 8, 3], "classes": 2, "stages": [{"width": 4}]})
assert measure(network, LatencyOptions(budget_seconds=0.05)).p50_ms > 0
assert not {"tensorflow", "keras"} & set(sys.modules)
"""


def test_measuring_needs_no_tensorflow_and_says_nothing():
    folder = Path(__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", ALONE], cwd=folder, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
