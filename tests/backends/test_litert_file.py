"""LiteRT files written without TensorFlow, held against its converter, Keras and LiteRT itself."""

from __future__ import annotations

import numpy as np
import pytest

from nas.architecture import Architecture
from nas.backends import litert_bytes
from nas.device.arena import arena_bytes

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

    from nas.backends import build_model

    network = architecture(request.param)
    keras.utils.set_random_seed(0)
    model = build_model(network)
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
