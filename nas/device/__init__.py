"""Measure and predict the latency, memory and file size of a network on this device."""

from nas.device.file_costs import FileCostMeter
from nas.device.latency import Latency, LatencyOptions, measure_architecture, measure_file
from nas.device.latency_model import calibrate_latency_model
from nas.device.model_files import (
    ModelSummary,
    convert_to_litert,
    summarize_architecture,
    summarize_keras,
    summarize_litert,
    summarize_onnx,
)
from nas.device.reference_latency import reference_latency_ms

__all__ = [
    "FileCostMeter",
    "Latency",
    "LatencyOptions",
    "ModelSummary",
    "calibrate_latency_model",
    "convert_to_litert",
    "measure_architecture",
    "measure_file",
    "reference_latency_ms",
    "summarize_architecture",
    "summarize_keras",
    "summarize_litert",
    "summarize_onnx",
]
