"""Networks as files: Keras, readable Python source, LiteRT, ONNX, SavedModel; compared, and described."""

from nas.export.card import CARD, CardFacts, card_text
from nas.export.comparison import FileCheck, compare_outputs, file_bytes
from nas.export.folder import complete_options, export_folder
from nas.export.formats import FORMATS, ExportOptions, export_files
from nas.export.keras_file import missing_augmentation
from nas.export.litert import LitertOptions, export_litert
from nas.export.loading import load_network
from nas.export.onnx import export_onnx
from nas.export.predict_script import predict_source
from nas.export.signature_metadata import read_from_keras, read_from_litert, read_from_onnx

__all__ = [
    "CARD",
    "FORMATS",
    "CardFacts",
    "ExportOptions",
    "FileCheck",
    "LitertOptions",
    "card_text",
    "compare_outputs",
    "complete_options",
    "export_files",
    "export_folder",
    "export_litert",
    "export_onnx",
    "file_bytes",
    "load_network",
    "missing_augmentation",
    "predict_source",
    "read_from_keras",
    "read_from_litert",
    "read_from_onnx",
]
