"""Costs compared with Keras, TensorFlow's profiler, a simulation and calculations by hand."""

from math import prod
from typing import get_args

import numpy as np
import pytest
from grammar import random_architecture, random_file

from nas.architecture import Architecture, layer_costs, network_cost
from nas.architecture.cost import IN_PLACE, peak_bytes
from nas.architecture.layers import Kind
from nas.backends import build_model


def traits(architecture):
    """Return the kinds of layers of a network, each with the values that change its costs or its shape."""
    rank = len(architecture.input_shape)
    return {
        (rank, layer.kind, layer.kernel_size > 1, layer.stride, layer.dilation > 1, layer.groups > 1,
         layer.depth_multiplier > 1, layer.bias, layer.padding, layer.keep_dims)
        for layer in architecture.layers
    }  # fmt: skip


@pytest.fixture(scope="module")
def built():
    """Return pairs of an architecture and its Keras model.

    Building a model takes Keras about 0.1 s. The fixture therefore chooses, of 160 random networks, few
    that have all traits: each time the one with the largest number of traits not covered so far.
    """
    rng = np.random.default_rng(7)
    drawn = [random_architecture(rng) for _ in range(160)]
    candidates = {architecture: traits(architecture) for architecture in drawn}
    covered, models = set(), []
    while covered != set().union(*candidates.values()):
        architecture = max(candidates, key=lambda candidate: len(candidates[candidate] - covered))
        covered |= candidates[architecture]
        models.append((architecture, build_model(architecture)))
    return models


def keras_flops(model):
    """Return 2 x the multiply-adds, counted from the weights and the output shapes of Keras' layers."""
    flops = 0
    for layer in model.layers:
        kernels = [weight for weight in layer.weights if "kernel" in weight.name]
        before = layer.input.shape if kernels else ()
        positions = before if "Transpose" in type(layer).__name__ else layer.output.shape if kernels else ()
        flops += 2 * sum(prod(kernel.shape) for kernel in kernels) * prod(positions[1:-1])
    return flops


@pytest.mark.trains
def test_the_chosen_networks_cover_every_kind_of_layer(built):
    layers = [layer for architecture, _ in built for layer in architecture.layers]
    assert {layer.kind for layer in layers} == set(get_args(Kind))
    assert {layer.padding for layer in layers if layer.kind == "conv"} == {"same", "valid"}
    assert max(layer.groups for layer in layers) > 1
    assert max(layer.dilation for layer in layers) > 1
    assert max(layer.depth_multiplier for layer in layers) > 1
    assert {len(architecture.input_shape) for architecture, _ in built} == {2, 3}


@pytest.mark.trains
def test_parameters_equal_keras(built):
    for architecture, model in built:
        counted = network_cost(architecture)
        assert counted.params == model.count_params(), architecture.to_yaml()
        trainable = sum(prod(weight.shape) for weight in model.trainable_weights)
        assert counted.trainable_params == trainable, architecture.to_yaml()


@pytest.mark.trains
def test_parameters_of_each_layer_equal_keras(built):
    for architecture, model in built:
        for layer in layer_costs(architecture):
            assert layer.params == model.get_layer(layer.name).count_params(), (layer, architecture.to_yaml())


@pytest.mark.trains
def test_shapes_equal_keras(built):
    for architecture, model in built:
        for layer in architecture.layers:
            assert model.get_layer(layer.name).output.shape[1:] == layer.shape, architecture.to_yaml()


@pytest.mark.trains
def test_flops_equal_a_count_from_keras_layers(built):
    for architecture, model in built:
        assert network_cost(architecture).flops == keras_flops(model), architecture.to_yaml()


def profiled_flops(model, shape):
    """Return the floating-point operations of the frozen graph, counted by TensorFlow's profiler."""
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    function = tf.function(lambda x: model(x, training=False))
    frozen = convert_variables_to_constants_v2(
        function.get_concrete_function(tf.TensorSpec((1, *shape), tf.float32))
    )
    options = tf.compat.v1.profiler.ProfileOptionBuilder.float_operation()
    options["output"] = "none"
    node = tf.compat.v1.profiler.profile(frozen.graph, options=options, cmd="op")
    flops = 0
    while node.children:
        (node,) = node.children
        if node.name in ("Conv2D", "DepthwiseConv2dNative", "MatMul", "Conv2DBackpropInput"):
            flops += node.float_ops
    return flops


@pytest.mark.trains
@pytest.mark.parametrize("task", ["classification", "binary", "segmentation", "multi_label", "regression"])
def test_flops_equal_tensorflows_profiler(task):
    rng = np.random.default_rng(5)
    for _ in range(4):
        data = random_file(rng, task)
        while not data["stages"]:
            data = random_file(rng, task)
        # The profiler counts the padding of a dilation, and does not count convolutions with groups.
        for stage in data["stages"]:
            stage.update(dilation=1, groups=1)
        architecture = Architecture.from_dict(data)
        flops = profiled_flops(build_model(architecture), architecture.input_shape)
        assert flops > 0
        assert network_cost(architecture).flops == flops, architecture.to_yaml()


def simulated_peak(layers):
    """Return the peak memory by the definition: at each layer, add up the memory that is read later."""
    readers = {index: [] for index in range(len(layers))}
    for number, layer in enumerate(layers):
        for index in layer.inputs:
            readers[index].append(number)
    memory = []
    for number, layer in enumerate(layers):
        shared = memory[layer.inputs[0]] if layer.kind in IN_PLACE else number
        users = [index for index in range(number) if memory[index] == shared]
        later = any(reader > number for index in users for reader in readers[index])
        memory.append(number if later else shared)
    peak = 0
    for moment in range(len(layers)):
        alive = set()
        for index in range(moment + 1):
            if max([index, *readers[index]]) >= moment:
                alive.add(memory[index])
        peak = max(peak, sum(4 * prod(layers[index].shape) for index in alive))
    return peak


def test_peak_memory_equals_a_simulation():
    rng = np.random.default_rng(11)
    for _ in range(300):
        architecture = random_architecture(rng)
        assert peak_bytes(architecture.layers) == simulated_peak(architecture.layers), architecture.to_yaml()


def test_peak_memory_of_small_networks_equals_a_calculation_by_hand():
    plain = {"input_shape": [8, 8, 1], "classes": 2, "rescale": False, "head": {"pooling": "global_average"}}
    one = Architecture.from_dict({**plain, "stages": [{"width": 4}]})
    assert network_cost(one).peak_bytes == 4 * (64 + 4 * 64)  # the input and the convolution's output
    stem = {"width": 4}
    chain = Architecture.from_dict({**plain, "stem": stem, "stages": [{"width": 4}]})
    assert network_cost(chain).peak_bytes == 4 * (4 * 64 + 4 * 64)
    residual = Architecture.from_dict(
        {**plain, "stem": stem, "stages": [{"width": 4, "convs": 2, "residual": "identity"}]}
    )
    assert network_cost(residual).peak_bytes == 4 * 3 * 4 * 64  # the shortcut is read last


def test_costs_of_a_small_network_equal_a_calculation_by_hand():
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
