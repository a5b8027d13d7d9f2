"""The layers and spans that the parts of an architecture build."""

from itertools import pairwise

import pytest

from nas.architecture import Architecture, Stage


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
def test_the_position_of_batch_normalization(normalization, expected):
    assert kinds(built(stages=[{"width": 8, "normalization": normalization}])) == expected
    assert kinds(built(stem={"width": 8, "normalization": normalization})) == expected


def test_depthwise_and_pointwise_convolutions_each_have_an_activation():
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


def test_squeeze_and_excitation_multiplies_the_channels():
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
def test_a_shortcut_is_added_only_if_shapes_can_be_made_equal(values, expected):
    layers = built(stages=[values])
    assert kinds(layers) == expected
    shapes = [(8, 8, 4), *(layer.shape for layer in layers)]
    for layer in layers:
        if layer.kind == "add":
            assert {shapes[index] for index in layer.inputs} == {layer.shape}


@pytest.mark.parametrize("shrink", ["max_pool", "average_pool", "strided"])
@pytest.mark.parametrize("shape", [(5, 3, 2), (1, 4, 2), (2, 2, 1), (1, 1, 1), (7, 2), (1, 2)])
def test_a_map_is_never_reduced_below_one_pixel(shrink, shape):
    layers = built(shape=shape, stages={"count": 6, "width": 4}, block={"shrink": shrink, "padding": "valid"})
    assert all(size >= 1 for layer in layers for size in layer.shape)
    assert min(layers[-1].shape[:-1]) == 1


def test_only_biases_before_batch_normalization_are_removed():
    layers = built(
        stages=[{"width": 8, "normalization": "between"}, {"width": 8, "convs": 2, "residual": "identity"}]
    )
    assert [layer.bias for layer in layers if layer.kind == "conv"] == [False, True, True]
    before = built(stages=[{"width": 8, "normalization": "before", "residual": "projection"}] * 2)
    named = {layer.name: layer.bias for layer in before if layer.kind == "conv"}
    assert named["stage1_block1_conv1"]  # an addition reads it
    assert named["stage1_block1_shortcut"]


def test_only_the_first_block_halves_the_map():
    layers = built(stages=[{"width": 8, "blocks": 3, "shrink": "max_pool"}])
    assert kinds(layers) == ["conv", "relu", "max_pool", "conv", "relu", "conv", "relu"]


def test_a_strided_convolution_has_no_dilation():
    layers = built(stages=[{"width": 8, "convs": 2, "dilation": 2, "shrink": "strided"}])
    assert [(layer.stride, layer.dilation) for layer in layers if layer.kind == "conv"] == [(2, 1), (1, 2)]


def test_groups_divide_the_channels():
    layers = built(stages=[{"width": 6, "convs": 2, "groups": 6}])
    assert [layer.groups for layer in layers if layer.kind == "conv"] == [2, 6]


def test_the_layers_of_heads():
    stage = {"stages": [{"width": 8}]}
    dense = {"pooling": "flatten", "dense": [6, 5], "dropout": 0.5}
    head = built(head=dense, **stage)[2:]
    assert kinds(head) == ["flatten", "dense", "relu", "dense", "relu", "dropout", "dense", "softmax"]
    assert [layer.filters for layer in head if layer.kind == "dense"] == [6, 5, 3]
    binary = built("binary", head={}, classes=2, **stage)[2:]
    assert kinds(binary) == ["global_average", "dense", "sigmoid"]
    assert binary[-1].shape == (1,)
    labels = built("multi_label", head={}, classes=2, **stage)[2:]
    assert kinds(labels) == ["global_average", "dense", "sigmoid"]
    assert labels[-1].shape == (2,)
    numbers = built("regression", head={}, classes=1, **stage)[2:]
    assert kinds(numbers) == ["global_average", "dense"]
    assert numbers[-1].shape == (1,)


@pytest.mark.parametrize("shape", [(8, 8, 3), (9, 13, 3), (1, 5, 3), (2, 30, 1)])
@pytest.mark.parametrize("upsample", ["transposed", "interpolated"])
@pytest.mark.parametrize("skip", ["none", "add", "concat"])
@pytest.mark.parametrize("shrink", ["max_pool", "strided"])
def test_a_decoder_restores_the_size_of_the_input(shape, upsample, skip, shrink):
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


def test_skips_read_the_maps_before_they_are_halved():
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


def test_spans_contain_the_layers_of_blocks_and_units():
    network = Architecture.from_dict(
        {
            "task": "segmentation",
            "input_shape": [8, 8, 3],
            "stem": {"width": 4},
            "stages": [
                {"width": 4, "convs": 2, "shrink": "max_pool", "residual": "projection"},
                {"width": 4, "conv": "inverted_bottleneck", "expansion": 6, "squeeze_excitation": 0.5},
            ],
            "decoder": {"upsample": "interpolated", "conv": "separable", "skip": "concat"},
        }
    )
    named = [
        (
            span.kind,
            span.label,
            network.layers[span.start].name,
            network.layers[span.end - 1].name,
            span.ratio,
        )
        for span in network.spans
    ]
    assert named == [
        ("unit", "standard convolution", "stage1_block1_conv1", "stage1_block1_conv1_act", 0),
        ("unit", "standard convolution", "stage1_block1_conv2", "stage1_block1_conv2_act", 0),
        ("block", "", "stage1_block1_conv1", "stage1_block1_add", 0),
        ("expansion", "", "stage2_block1_conv1_expand", "stage2_block1_conv1_expand_act", 6),
        ("unit", "inverted bottleneck", "stage2_block1_conv1_expand", "stage2_block1_conv1_project", 0),
        (
            "squeeze_excitation",
            "squeeze-and-excitation",
            "stage2_block1_se_squeeze",
            "stage2_block1_se_scale",
            0.5,
        ),
        ("block", "", "stage2_block1_conv1_expand", "stage2_block1_se_scale", 0),
        ("unit", "separable convolution", "decoder1_conv1", "decoder1_conv1_act", 0),
        ("unit", "separable convolution", "decoder1_up", "decoder1_up_act", 0),
        ("decoder_block", "", "decoder1_conv1", "decoder1_concat", 0),
    ]


def test_an_unknown_kind_of_convolution_is_an_error():
    stage = Stage.model_construct(**{**Stage(width=4).model_dump(), "conv": "new"})
    network = Architecture.model_construct(input_shape=(8, 8, 3), stages=(stage,))
    with pytest.raises(AssertionError, match="'new'"):
        _ = network.layers
