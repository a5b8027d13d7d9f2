"""Costs against Keras' own numbers, TensorFlow's profiler, and a second count."""

from math import prod

import numpy as np
import pytest
from grammar import random_architecture, random_file

from nas.architecture import Architecture, layer_costs, network_cost
from nas.architecture.cost import IN_PLACE, peak_bytes
from nas.backends import build_model

NETWORKS = 160
"""A network takes Keras a tenth of a second."""


@pytest.fixture(scope="module")
def built():
    """Give pairs of an architecture and its Keras model, over the whole grammar."""
    rng = np.random.default_rng(7)
    architectures = [random_architecture(rng) for _ in range(NETWORKS)]
    return [(architecture, build_model(architecture)) for architecture in architectures]


def keras_flops(model):
    """Count 2 x the multiply-adds from the weights and the output shapes of Keras' layers."""
    flops = 0
    for layer in model.layers:
        kernels = [weight for weight in layer.weights if "kernel" in weight.name]
        before = layer.input.shape if kernels else ()
        places = before if "Transpose" in type(layer).__name__ else layer.output.shape if kernels else ()
        flops += 2 * sum(prod(kernel.shape) for kernel in kernels) * prod(places[1:-1])
    return flops


def test_the_sample_holds_every_kind_of_layer(built):
    layers = [layer for architecture, _ in built for layer in architecture.layers]
    from typing import get_args

    from nas.architecture.layers import Kind

    assert {layer.kind for layer in layers} == set(get_args(Kind))
    assert {layer.padding for layer in layers if layer.kind == "conv"} == {"same", "valid"}
    assert max(layer.groups for layer in layers) > 1
    assert max(layer.dilation for layer in layers) > 1
    assert max(layer.depth_multiplier for layer in layers) > 1
    assert {len(architecture.input_shape) for architecture, _ in built} == {2, 3}


def test_parameters_equal_keras(built):
    for architecture, model in built:
        counted = network_cost(architecture)
        assert counted.params == model.count_params(), architecture.to_yaml()
        trainable = sum(prod(weight.shape) for weight in model.trainable_weights)
        assert counted.trainable_params == trainable, architecture.to_yaml()


def test_parameters_of_each_layer_equal_keras(built):
    for architecture, model in built:
        for layer in layer_costs(architecture):
            assert layer.params == model.get_layer(layer.name).count_params(), (layer, architecture.to_yaml())


def test_shapes_equal_keras(built):
    for architecture, model in built:
        for layer in architecture.layers:
            assert model.get_layer(layer.name).output.shape[1:] == layer.shape, architecture.to_yaml()


def test_flops_equal_a_count_from_keras_layers(built):
    for architecture, model in built:
        assert network_cost(architecture).flops == keras_flops(model), architecture.to_yaml()


def profiled_flops(model, shape):
    """Let TensorFlow's profiler count the floating-point operations of the frozen graph."""
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    function = tf.function(lambda x: model(x, training=False))
    frozen = convert_variables_to_constants_v2(
        function.get_concrete_function(tf.TensorSpec((1, *shape), tf.float32))
    )
    options = tf.compat.v1.profiler.ProfileOptionBuilder.float_operation()
    options["output"] = "none"
    found = tf.compat.v1.profiler.profile(frozen.graph, options=options, cmd="op")
    flops = 0
    while found.children:
        (found,) = found.children
        if found.name in ("Conv2D", "DepthwiseConv2dNative", "MatMul", "Conv2DBackpropInput"):
            flops += found.float_ops
    return flops


@pytest.mark.parametrize("task", ["classification", "binary", "segmentation"])
def test_flops_equal_tensorflows_profiler(task):
    rng = np.random.default_rng(5)
    for _ in range(4):
        data = random_file(rng, task)
        while not data["stages"]:
            data = random_file(rng, task)
        for stage in data["stages"]:  # which the profiler counts with padding, or not at all
            stage.update(dilation=1, groups=1)
        architecture = Architecture.from_dict(data)
        flops = profiled_flops(build_model(architecture), architecture.input_shape)
        assert flops > 0
        assert network_cost(architecture).flops == flops, architecture.to_yaml()


def simulated_peak(layers):
    """Find for each moment which memory is still to be read, straight from the definition."""
    readers = {place: [] for place in range(len(layers))}
    for number, layer in enumerate(layers):
        for place in layer.inputs:
            readers[place].append(number)
    memory = []
    for number, layer in enumerate(layers):
        shared = memory[layer.inputs[0]] if layer.kind in IN_PLACE else number
        users = [place for place in range(number) if memory[place] == shared]
        later = any(reader > number for place in users for reader in readers[place])
        memory.append(number if later else shared)
    peak = 0
    for moment in range(len(layers)):
        alive = set()
        for place in range(moment + 1):
            if max([place, *readers[place]]) >= moment:
                alive.add(memory[place])
        peak = max(peak, sum(4 * prod(layers[place].shape) for place in alive))
    return peak


def test_peak_memory_equals_a_simulation(built):
    rng = np.random.default_rng(11)
    drawn = [random_architecture(rng) for _ in range(200)]
    for architecture in [*(architecture for architecture, _ in built), *drawn]:
        assert peak_bytes(architecture.layers) == simulated_peak(architecture.layers), architecture.to_yaml()


def test_peak_memory_by_hand():
    plain = {"input_shape": [8, 8, 1], "classes": 2, "rescale": False, "head": {"pooling": "global_average"}}
    one = Architecture.from_dict({**plain, "stages": [{"width": 4}]})
    assert network_cost(one).peak_bytes == 4 * (64 + 4 * 64)  # the input and the convolution's output
    stem = {"width": 4}
    chain = Architecture.from_dict({**plain, "stem": stem, "stages": [{"width": 4}]})
    assert network_cost(chain).peak_bytes == 4 * (4 * 64 + 4 * 64)
    residual = Architecture.from_dict(
        {**plain, "stem": stem, "stages": [{"width": 4, "convs": 2, "residual": "identity"}]}
    )
    assert network_cost(residual).peak_bytes == 4 * 3 * 4 * 64  # the shortcut waits while a convolution runs


def test_costs_by_hand():
    network = Architecture.from_dict(
        {
            "input_shape": [8, 8, 3],
            "classes": 10,
            "stages": [{"width": 16, "conv": "separable", "normalization": "between", "shrink": "max_pool"}],
        }
    )
    counted = network_cost(network)
    assert counted.params == 9 * 3 + 3 * 16 + 4 * 16 + 16 * 10 + 10
    assert counted.trainable_params == counted.params - 2 * 16
    assert counted.flops == 2 * (64 * (9 * 3 + 3 * 16) + 16 * 10)
    assert [layer.name for layer in layer_costs(network)] == [layer.name for layer in network.layers]
