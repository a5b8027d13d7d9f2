"""The file format of architectures, the layers that a file builds, their costs, and the architecture's id.

Nothing here imports Keras.
"""

from nas.architecture.architecture import AUGMENTATION, NEED_VALUE_RANGE, Architecture, Design
from nas.architecture.buffers import Buffer, Operation, assign_buffers, peak_buffer_bytes
from nas.architecture.comparison import builds_layers
from nas.architecture.cost import LayerCost, layer_costs, network_cost
from nas.architecture.layers import BIASED_KINDS, NORM_MOMENTUM, Layer, Shape, Span
from nas.architecture.notation import dump_yaml, read_text, read_yaml, stage_width
from nas.architecture.parts import Decoder, Head, Part, Scalar, Stage, Stem, Training
from nas.architecture.path_features import describe_paths
from nas.architecture.validation import validate_part

__all__ = [
    "AUGMENTATION",
    "BIASED_KINDS",
    "NEED_VALUE_RANGE",
    "NORM_MOMENTUM",
    "Architecture",
    "Buffer",
    "Decoder",
    "Design",
    "Head",
    "Layer",
    "LayerCost",
    "Operation",
    "Part",
    "Scalar",
    "Shape",
    "Span",
    "Stage",
    "Stem",
    "Training",
    "assign_buffers",
    "builds_layers",
    "describe_paths",
    "dump_yaml",
    "layer_costs",
    "network_cost",
    "peak_buffer_bytes",
    "read_text",
    "read_yaml",
    "stage_width",
    "validate_part",
]
