"""What parts of an architecture build, layer by layer."""

from itertools import pairwise

import pytest

from nas.architecture import Architecture


def built(task="classification", shape=(8, 8, 4), **values):
    network = Architecture.from_dict(
        {"task": task, "input_shape": list(shape), "classes": 3, "rescale": False, "head": None, **values}
    )
    return network.layers[1:]


def kinds(layers):
    return [layer.function or layer.kind for layer in layers]


@pytest.mark.parametrize(
    ("normalization", "expected"),
    [
        ("none", ["conv", "relu"]),
        ("before", ["batch_norm", "relu", "conv"]),
        ("between", ["conv", "batch_norm", "relu"]),
        ("after", ["conv", "relu", "batch_norm"]),
    ],
)
def test_the_place_of_batch_normalization(normalization, expected):
    assert kinds(built(stages=[{"width": 8, "normalization": normalization}])) == expected
    assert kinds(built(stem={"width": 8, "normalization": normalization})) == expected


def test_depthwise_and_pointwise_have_their_own_activations():
    layers = built(stages=[{"width": 8, "conv": "depthwise_pointwise", "normalization": "between"}])
    assert kinds(layers) == ["depthwise_conv", "batch_norm", "relu", "conv", "batch_norm", "relu"]
    assert [layer.kernel_size for layer in layers if layer.kernel_size] == [3, 1]


def test_the_inverted_bottleneck_expands_filters_and_projects():
    layers = built(stages=[{"width": 8, "conv": "inverted_bottleneck", "expansion": 3, "shrink": "strided"}])
    assert kinds(layers) == ["conv", "relu", "depthwise_conv", "relu", "conv"]
    assert [layer.shape for layer in layers[::2]] == [(8, 8, 12), (4, 4, 12), (4, 4, 8)]
    assert (
        kinds(built(stages=[{"width": 8, "conv": "inverted_bottleneck", "expansion": 1}]))[0]
        == "depthwise_conv"
    )


def test_squeeze_and_excitation_weighs_channels():
    layers = built(stages=[{"width": 8, "squeeze_excitation": 0.25}])
    assert kinds(layers)[2:] == ["global_average", "conv", "relu", "conv", "sigmoid", "multiply"]
    assert [layer.filters for layer in layers if layer.kind == "conv"] == [8, 2, 8]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"width": 4, "residual": "identity"}, ["conv", "relu", "add"]),
        ({"width": 4, "residual": "projection"}, ["conv", "relu", "add"]),
        ({"width": 8, "residual": "identity"}, ["conv", "relu"]),
        ({"width": 8, "residual": "projection"}, ["conv", "relu", "conv", "add"]),
        ({"width": 4, "residual": "projection", "padding": "valid"}, ["conv", "relu"]),
        (
            {"width": 4, "residual": "projection", "shrink": "max_pool"},
            ["conv", "relu", "max_pool", "conv", "add"],
        ),
        ({"width": 4, "residual": "projection", "shrink": "strided"}, ["conv", "relu", "conv", "add"]),
        ({"width": 4, "residual": "identity", "shrink": "strided"}, ["conv", "relu"]),
    ],
)
def test_a_shortcut_stands_where_shapes_can_be_made_equal(values, expected):
    layers = built(stages=[values])
    assert kinds(layers) == expected
    shapes = [(8, 8, 4), *(layer.shape for layer in layers)]
    for layer in layers:
        if layer.kind == "add":
            assert {shapes[place] for place in layer.inputs} == {layer.shape}


@pytest.mark.parametrize("shrink", ["max_pool", "average_pool", "strided"])
@pytest.mark.parametrize("shape", [(5, 3, 2), (1, 4, 2), (2, 2, 1), (1, 1, 1), (7, 2), (1, 2)])
def test_a_map_is_never_shrunk_below_one_pixel(shrink, shape):
    layers = built(shape=shape, stages={"count": 6, "width": 4}, block={"shrink": shrink, "padding": "valid"})
    assert all(size >= 1 for layer in layers for size in layer.shape)
    assert min(layers[-1].shape[:-1]) == 1


def test_a_bias_before_batch_normalization_is_dropped_and_no_other():
    layers = built(
        stages=[{"width": 8, "normalization": "between"}, {"width": 8, "convs": 2, "residual": "identity"}]
    )
    assert [layer.bias for layer in layers if layer.kind == "conv"] == [False, True, True]
    before = built(stages=[{"width": 8, "normalization": "before", "residual": "projection"}] * 2)
    named = {layer.name: layer.bias for layer in before if layer.kind == "conv"}
    assert named["stage1_block1_conv1"]  # its reader is an addition
    assert named["stage1_block1_shortcut"]


def test_only_the_first_block_shrinks():
    layers = built(stages=[{"width": 8, "blocks": 3, "shrink": "max_pool"}])
    assert kinds(layers) == ["conv", "relu", "max_pool", "conv", "relu", "conv", "relu"]


def test_dilation_stands_aside_for_a_stride():
    layers = built(stages=[{"width": 8, "convs": 2, "dilation": 2, "shrink": "strided"}])
    assert [(layer.stride, layer.dilation) for layer in layers if layer.kind == "conv"] == [(2, 1), (1, 2)]


def test_groups_are_those_that_divide_the_channels():
    layers = built(stages=[{"width": 6, "convs": 2, "groups": 6}])
    assert [layer.groups for layer in layers if layer.kind == "conv"] == [2, 6]


def test_heads():
    stage = {"stages": [{"width": 8}]}
    dense = {"pooling": "flatten", "dense": [6, 5], "dropout": 0.5}
    head = built(head=dense, **stage)[2:]
    assert kinds(head) == ["flatten", "dense", "relu", "dense", "relu", "dropout", "dense", "softmax"]
    assert [layer.filters for layer in head if layer.kind == "dense"] == [6, 5, 3]
    binary = built("binary", head={}, classes=2, **stage)[2:]
    assert kinds(binary) == ["global_average", "dense", "sigmoid"]
    assert binary[-1].shape == (1,)


@pytest.mark.parametrize("shape", [(8, 8, 3), (9, 13, 3), (1, 5, 3), (2, 30, 1)])
@pytest.mark.parametrize("upsample", ["transposed", "interpolated"])
@pytest.mark.parametrize("skip", ["none", "add", "concat"])
@pytest.mark.parametrize("shrink", ["max_pool", "strided"])
def test_a_decoder_gives_each_pixel_its_classes(shape, upsample, skip, shrink):
    layers = built(
        "segmentation",
        shape,
        stem={"width": 5, "stride": 2},
        stages={"count": 3, "width": 4, "growth": 2},
        block={"shrink": shrink},
        decoder={"upsample": upsample, "skip": skip},
        head={},
    )
    assert layers[-1].shape == (*shape[:-1], 3)
    encoder = [
        shape[:-1],
        *(layer.shape[:-1] for layer in layers if layer.name.startswith(("stem", "stage"))),
    ]
    shrinks = sum(before != after for before, after in pairwise(encoder))
    assert (shrinks > 0) == (min(shape[:2]) > 1)
    convolutions = ("conv", "transposed_conv")
    assert sum(layer.name.endswith("_up") and layer.kind in convolutions for layer in layers) == shrinks


def test_skips_join_the_maps_before_they_shrink():
    layers = built(
        "segmentation",
        (16, 16, 3),
        stages=[{"width": 4, "shrink": "max_pool"}, {"width": 6, "shrink": "strided"}],
        decoder={"skip": "concat", "convs": 1},
        head={},
    )
    concats = [layer for layer in layers if layer.kind == "concat"]
    sources = [layers[layer.inputs[1] - 1] for layer in concats]
    assert [source.name for source in sources] == ["stage1_block1_pool", "stage1_block1_conv1_act"]
    assert [layer.shape for layer in concats] == [(8, 8, 6 + 4), (16, 16, 4 + 4)]
