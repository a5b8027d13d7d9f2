"""LiteRT files written without TensorFlow, compared with its converter, Keras and LiteRT."""

from __future__ import annotations

import numpy as np
import pytest

from nas.architecture import Architecture
from nas.backends import build_model, litert_bytes
from nas.device.arena import arena_bytes
from nas.tensorflow_imports import import_keras, import_tensorflow

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
    """Describe each operator by its output shape, activation and input types; RESHAPE, which only renames, is
    left out.
    """
    from ai_edge_litert import schema_py_generated as schema

    names = {number: name for name, number in vars(schema.BuiltinOperator).items() if isinstance(number, int)}
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    graph = model.subgraphs[0]
    texts = []
    for operator in graph.operators:
        name = names[model.operatorCodes[operator.opcodeIndex].builtinCode]
        shape = "x".join(str(size) for size in graph.tensors[operator.outputs[0]].shape)
        fused = getattr(operator.builtinOptions, "fusedActivationFunction", 0)
        kinds = [graph.tensors[index].type for index in operator.inputs if index >= 0]
        texts.append(f"{name} {shape} {fused} {kinds}")
    return [text for text in texts if not text.startswith("RESHAPE")]


def run(content: bytes, images: np.ndarray) -> np.ndarray:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=content)
    interpreter.allocate_tensors()
    entry, result = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    outputs = []
    for image in images:
        interpreter.set_tensor(entry["index"], image[np.newaxis])
        interpreter.invoke()
        outputs.append(interpreter.get_tensor(result["index"])[0])
    return np.array(outputs)


@pytest.fixture(scope="module", params=list(NETWORKS))
def converted(request):
    """Return a network, its weights, images, Keras' outputs, and the files of TensorFlow's converter."""
    tf, keras = import_tensorflow(), import_keras()
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


@pytest.mark.trains
def test_a_file_has_the_outputs_of_keras(converted):
    network, weights, images, outputs, _ = converted
    np.testing.assert_allclose(run(litert_bytes(network, weights), images), outputs, atol=1e-5)


@pytest.mark.trains
def test_a_file_has_the_operators_of_the_converter_and_not_more_bytes(converted):
    network, weights, images, _, contents = converted
    for precision, content in contents.items():
        written = litert_bytes(network, weights, precision)
        found, expected = operators(written), operators(content)
        if precision == "float16":  # constants are widened in another order
            found, expected = sorted(found), sorted(expected)
        if network.task == "segmentation":  # the convolution of a skip connection has another position
            found, expected = sorted(found), sorted(expected)
        if len(network.input_shape) == 2:  # the converter reshapes to images and back for each layer
            found, expected = ([text.split()[0] for text in texts] for texts in (found, expected))
        assert found == expected
        assert 0.4 * len(content) < len(written) <= len(content)
        np.testing.assert_allclose(run(written, images), run(content, images), atol=1e-4)


@pytest.mark.trains
def test_a_file_of_random_weights_has_the_same_operators_and_is_reproducible(converted):
    network, weights, *_ = converted
    assert operators(litert_bytes(network)) == operators(litert_bytes(network, weights))
    assert litert_bytes(network) == litert_bytes(network)


@pytest.mark.parametrize("name", ["xception", "bottleneck", "variants", "transposed"])
def test_the_arena_is_the_memory_that_litert_allocates(name):
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    content = litert_bytes(architecture(name))
    reference = OpResolverType.BUILTIN_REF  # operators without scratch memory
    interpreter = Interpreter(model_content=content, experimental_op_resolver_type=reference)
    interpreter.allocate_tensors()
    ends = []
    for operator in interpreter._get_ops_details():
        for index in (*operator["outputs"], *interpreter._interpreter.InputIndices()):
            view = interpreter.tensor(index)()
            ends.append((view.__array_interface__["data"][0], view.nbytes))
            del view
    extent = max(begin + size for begin, size in ends) - min(begin for begin, _ in ends)
    assert arena_bytes(content) == pytest.approx(extent, rel=0.15 if name == "transposed" else 0.01)
