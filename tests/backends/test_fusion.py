"""Which layers share an operator, and the operators that remain."""

from nas.architecture import Layer
from nas.backends import lower_to_operators
from nas.backends.fusion import fuse_layers


def chain(*kinds: str) -> list[Layer]:
    """Create layers of which each reads the one before; an activation is named by its function."""
    layers = [Layer("input", "input", (), (8, 8, 4))]
    for kind in kinds:
        layer = Layer("activation", kind, (len(layers) - 1,), (8, 8, 4), function=kind)
        if kind not in ("relu", "relu6", "silu"):
            layer = layer._replace(kind=kind, function="", filters=4, kernel_size=3)
        layers.append(layer)
    return layers


def test_normalization_and_relu_are_fused_with_a_convolution():
    for kind in ("conv", "depthwise_conv", "separable_conv", "transposed_conv"):
        assert fuse_layers(chain(kind, "batch_norm", "relu6")) == [0, 1, 1, 1]


def test_normalization_is_fused_with_convolutions_only_and_once():
    assert fuse_layers(chain("conv", "batch_norm", "batch_norm")) == [0, 1, 1, 3]
    assert fuse_layers(chain("max_pool", "batch_norm", "relu")) == [0, 1, 2, 2]
    assert fuse_layers(chain("conv", "relu", "batch_norm")) == [0, 1, 1, 3]


def test_only_relu_is_fused_and_only_with_operators_that_compute_it():
    assert fuse_layers(chain("conv", "silu")) == [0, 1, 2]
    assert fuse_layers(chain("dense", "relu")) == [0, 1, 1]
    assert fuse_layers(chain("max_pool", "relu", "relu")) == [0, 1, 2, 3]


def test_dropout_does_not_prevent_a_fusion():
    assert fuse_layers(chain("conv", "dropout", "relu")) == [0, 1, 1, 1]


def test_a_layer_with_two_readers_is_not_fused():
    layers = chain("conv", "relu")
    add = Layer("add", "add", (1, 2), (8, 8, 4))
    relu = Layer("activation", "last", (3,), (8, 8, 4), function="relu")
    assert fuse_layers([*layers, add, relu]) == [0, 1, 2, 3, 3]


def test_fused_layers_have_no_operator():
    operators = lower_to_operators(chain("conv", "batch_norm", "relu", "silu", "dropout", "batch_norm"))
    assert [operator.kind for operator in operators] == ["conv", "sigmoid", "multiply", "affine", "affine"]
