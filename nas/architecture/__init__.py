"""Architectures: the file format, the layers that a file builds, costs and ids. Nothing here imports Keras."""

from nas.architecture.architecture import Architecture, Design
from nas.architecture.cost import LayerCost, layer_costs, network_cost
from nas.architecture.layers import BIASED_KINDS, NORM_MOMENTUM, Graph, Layer, Shape
from nas.architecture.notation import dump_yaml, grown, read_text, read_yaml
from nas.architecture.parts import Decoder, Head, Part, Scalar, Stage, Stem, Training, validate_part
from nas.architecture.path_features import describe_paths

__all__ = [
    "BIASED_KINDS",
    "NORM_MOMENTUM",
    "Architecture",
    "Decoder",
    "Design",
    "Graph",
    "Head",
    "Layer",
    "LayerCost",
    "Part",
    "Scalar",
    "Shape",
    "Stage",
    "Stem",
    "Training",
    "describe_paths",
    "dump_yaml",
    "grown",
    "layer_costs",
    "network_cost",
    "read_text",
    "read_yaml",
    "validate_part",
]
