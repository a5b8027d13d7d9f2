"""Networks as files: Keras, readable Python source, LiteRT, ONNX."""

from nas.export.formats import FORMATS, ExportOptions, export_files
from nas.export.keras_file import missing_augmentation
from nas.export.litert import export_litert
from nas.export.onnx import export_onnx
from nas.export.signature_metadata import read_from_keras, read_from_litert, read_from_onnx

__all__ = [
    "FORMATS",
    "ExportOptions",
    "export_files",
    "export_litert",
    "export_onnx",
    "missing_augmentation",
    "read_from_keras",
    "read_from_litert",
    "read_from_onnx",
]
