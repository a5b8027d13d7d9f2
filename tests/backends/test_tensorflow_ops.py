"""Networks as TensorFlow operations, compared with their Keras models."""

from __future__ import annotations

import gc
import math
import weakref
from typing import get_args

import numpy as np
import pytest
from grammar import random_architecture, random_file

from nas.architecture import NORM_MOMENTUM, Architecture
from nas.architecture.layers import Kind
from nas.architecture.parts import Activation
from nas.backends import ForwardMode, build_model, forward, initial_weights, weight_specs
from nas.backends.tensorflow_ops import FAST_WIDTH, _wide_depthwise_conv
from nas.tensorflow_imports import import_tensorflow

pytestmark = pytest.mark.trains

TASKS = ("classification", "segmentation", "binary", "multi_label", "regression")


def traits(architecture):
    """Return the values of a network's layers on which their operations depend."""
    rank = len(architecture.input_shape)
    found = set()
    for layer in architecture.layers:
        kind = layer.kind
        window = layer.kernel_size if kind == "depthwise_conv" else layer.kernel_size > 1
        found |= {
            (rank, kind, "stride", layer.stride, layer.keep_dims),
            (rank, kind, "dilation", layer.dilation > 1),
            (kind, "window", window, layer.groups > 1, layer.depth_multiplier > 1),
            (kind, "padding", layer.padding, layer.bias),
            ("function", layer.function),
        }
    return found


def covering_networks(count, seed):
    """Choose few of `count` random networks that have all their traits: each time the one with most per layer
    that no other has.
    """
    rng = np.random.default_rng(seed)
    remaining = {number: random_architecture(rng) for number in range(count)}
    missing = {number: traits(architecture) for number, architecture in remaining.items()}
    while any(missing.values()):
        number = max(missing, key=lambda number: len(missing[number]) / len(remaining[number].layers))
        found = missing.pop(number)
        missing = {other: values - found for other, values in missing.items()}
        yield remaining[number]


def small_network_without_dropout(rng, number):
    """Draw a network of 10 to 30 layers; the number selects the task, and images or signals."""
    while True:
        data = random_file(rng, TASKS[number % 5], length=16 if number % 10 == 0 else 0)
        for part in ("head", "decoder"):
            if part in data:
                data[part]["dropout"] = 0.0
        for stage in data["stages"]:
            stage["dropout"] = 0.0
        architecture = Architecture.from_dict(data)
        if 10 <= len(architecture.layers) <= 30:
            return architecture


def random_weights(specs, rng):
    """Return weights that all differ from their initial values."""
    return [
        value + rng.uniform(0.0 if spec.is_statistic else -0.1, 0.2, value.shape).astype(np.float32)
        for spec, value in zip(specs, initial_weights(specs, 0), strict=True)
    ]


def tensors(specs, values):
    tf = import_tensorflow()
    return {
        spec.name: tf.constant(value[None] if value.ndim == 3 else value)
        for spec, value in zip(specs, values, strict=True)
    }


def outputs_of(architecture, logits):
    tf = import_tensorflow()
    if architecture.task == "regression":
        return logits
    return tf.nn.softmax(logits) if architecture.task in TASKS[:2] else tf.sigmoid(logits)


def test_networks_compute_the_same_as_their_keras_models():
    rng = np.random.default_rng(0)
    kinds, functions = set(), set()
    for architecture in covering_networks(150, seed=1):
        kinds |= {layer.kind for layer in architecture.layers}
        functions |= {layer.function for layer in architecture.layers}
        model = build_model(architecture)
        specs = weight_specs(architecture.layers)
        assert [spec.name for spec in specs] == [weight.path for weight in model.weights]
        assert [spec.shape for spec in specs] == [tuple(weight.shape) for weight in model.weights]
        assert [not spec.is_statistic for spec in specs] == [weight.trainable for weight in model.weights]
        values = random_weights(specs, rng)
        model.set_weights(values)
        scale = 255 if architecture.rescale else 1
        x = (rng.random((3, *architecture.input_shape)) * scale).astype(np.float32)
        logits, _ = forward(
            architecture.layers, tensors(specs, values), x, ForwardMode(batch_statistics=False)
        )
        np.testing.assert_allclose(
            outputs_of(architecture, logits),
            model(x, training=False),
            rtol=1e-3,
            atol=1e-4,
            err_msg=architecture.to_yaml(),
        )
    assert kinds == set(get_args(Kind))
    assert functions >= set(get_args(Activation)) - {"none"}


def test_gradients_and_moving_statistics_equal_those_of_keras():
    tf = import_tensorflow()
    rng = np.random.default_rng(1)
    for number in range(15):
        architecture = small_network_without_dropout(rng, number)
        model = build_model(architecture)
        specs = weight_specs(architecture.layers)
        values = random_weights(specs, rng)
        model.set_weights(values)
        x = rng.random((3, *architecture.input_shape)).astype(np.float32)
        with tf.GradientTape() as tape:
            outputs = model(x, training=True)
            factors = rng.normal(size=outputs.shape).astype(np.float32)
            loss = tf.reduce_sum(outputs * factors)
        expected = tape.gradient(loss, [weight.value for weight in model.trainable_weights])
        named = tensors(specs, values)
        with tf.GradientTape() as tape:
            tape.watch(named)
            logits, statistics = forward(architecture.layers, named, x, ForwardMode(batch_statistics=True))
            loss = tf.reduce_sum(outputs_of(architecture, logits) * factors)
        gradients = tape.gradient(loss, named)
        largest = max(float(np.abs(gradient).max()) for gradient in expected)
        for weight, gradient in zip(model.trainable_weights, expected, strict=True):
            np.testing.assert_allclose(
                np.reshape(gradients[weight.path], gradient.shape),
                gradient,
                atol=1e-3 * largest,
                err_msg=f"{weight.path} of {architecture.to_yaml()}",
            )
        updated = dict(zip([weight.path for weight in model.weights], model.get_weights(), strict=True))
        for spec, value in zip(specs, values, strict=True):
            if spec.is_statistic:
                statistic, pixels = statistics[spec.name]
                biased = np.array(statistic) * (1 - 1 / (pixels * len(x)) if pixels else 1.0)
                moving = value * NORM_MOMENTUM + biased * (1 - NORM_MOMENTUM)
                np.testing.assert_allclose(moving, updated[spec.name], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize(
    ("shape", "window", "stride", "multiplier"),
    [
        ((9, 8, 3), (5, 5), 1, 1), ((9, 8, 3), (5, 5), 2, 1), ((9, 8, 3), (7, 7), 1, 2),
        ((8, 9, 2), (4, 4), 1, 1), ((7, 7, 2), (6, 6), 2, 2),
        ((1, 12, 3), (1, 5), 1, 1), ((1, 12, 3), (1, 8), 2, 1),
    ],
)  # fmt: skip
def test_gradients_of_wide_depthwise_kernels_equal_tensorflows(shape, window, stride, multiplier, padding):
    tf = import_tensorflow()
    rng = np.random.default_rng(0)
    x = tf.constant(rng.normal(size=(2, *shape)).astype(np.float32))
    kernel = tf.constant(rng.normal(size=(*window, shape[-1], multiplier)).astype(np.float32))
    results = []
    for convolve in (
        lambda: _wide_depthwise_conv(x, kernel, stride, padding),
        lambda: tf.nn.depthwise_conv2d(x, kernel, [1, stride, stride, 1], padding),
    ):
        traced = trace_with_gradients(convolve, x, kernel)
        kinds = [operation.type for operation in traced.graph.get_operations()]
        results.append((kinds.count("DepthwiseConv2dNativeBackpropFilter"), traced()))
    assert [count for count, _ in results] == [math.ceil(window[1] / FAST_WIDTH), 1]
    for result, expected in zip(*(found for _, found in results), strict=True):
        np.testing.assert_allclose(result, expected, rtol=1e-4, atol=1e-5)


def trace_with_gradients(convolve, x, kernel):
    """Trace a function that returns y of x and kernel, and the gradients of a sum with fixed weights."""
    tf = import_tensorflow()

    def step():
        y = convolve()
        weights = np.sin(np.arange(math.prod(y.shape), dtype=np.float32)).reshape(y.shape)
        return [y, *tf.gradients(tf.reduce_sum(y * weights), [x, kernel])]

    return tf.function(step, autograph=False).get_concrete_function()


def test_the_graph_of_a_wide_depthwise_convolution_is_freed():
    tf = import_tensorflow()
    x, kernel = tf.ones((1, 9, 9, 1)), tf.ones((5, 5, 1, 1))
    traced = trace_with_gradients(lambda: _wide_depthwise_conv(x, kernel, 1, "SAME"), x, kernel)
    graph = weakref.ref(traced.graph)
    del traced
    gc.collect()
    assert graph() is None
