"""Measure and predict the latency, memory and file size of a network on this device."""

from nas.device.file_costs import FileCostMeter
from nas.device.file_quality import FileQuality, judge_file, plan_feed
from nas.device.latency import Device, Latency, LatencyOptions, measure_contents
from nas.device.latency_model import calibrate_latency_model
from nas.device.model_files import ModelSummary
from nas.device.opened_model import MODEL_SUFFIXES, OpenedModel, open_architecture, open_model_file
from nas.device.reference_latency import reference_latency_ms

__all__ = [
    "MODEL_SUFFIXES",
    "Device",
    "FileCostMeter",
    "FileQuality",
    "Latency",
    "LatencyOptions",
    "ModelSummary",
    "OpenedModel",
    "calibrate_latency_model",
    "judge_file",
    "measure_contents",
    "open_architecture",
    "open_model_file",
    "plan_feed",
    "reference_latency_ms",
]
