"""Architectures: the file format, the layers that a file builds, costs and ids. Nothing here imports Keras."""

from nas.architecture.architecture import Architecture, Design
from nas.architecture.buffers import Buffer, Operation, assign_buffers, peak_buffer_bytes
from nas.architecture.cost import LayerCost, layer_costs, network_cost
from nas.architecture.layers import BIASED_KINDS, NORM_MOMENTUM, Graph, Layer, Shape
from nas.architecture.notation import dump_yaml, grown, read_text, read_yaml
from nas.architecture.parts import Decoder, Head, Part, Scalar, Stage, Stem, Training, validate_part
from nas.architecture.path_features import describe_paths

__all__ = [
    "BIASED_KINDS",
    "NORM_MOMENTUM",
    "Architecture",
    "Buffer",
    "Decoder",
    "Design",
    "Graph",
    "Head",
    "Layer",
    "LayerCost",
    "Operation",
    "Part",
    "Scalar",
    "Shape",
    "Stage",
    "Stem",
    "Training",
    "assign_buffers",
    "describe_paths",
    "dump_yaml",
    "grown",
    "layer_costs",
    "network_cost",
    "peak_buffer_bytes",
    "read_text",
    "read_yaml",
    "validate_part",
]
