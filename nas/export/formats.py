"""The formats of exported networks, and the export of several at once."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nas.architecture import Design
from nas.backends import PRECISIONS, Precision
from nas.data import Signature, labels_text
from nas.errors import InputError, nearest
from nas.export.keras_file import export_keras
from nas.export.litert import LitertOptions, export_litert
from nas.export.onnx import export_onnx
from nas.export.python import export_python
from nas.export.saved_model import export_saved_model
from nas.files import output_file

if TYPE_CHECKING:
    import numpy as np

__all__ = ["FORMATS", "ExportOptions", "export_files", "litert_file", "litert_key", "remove_files"]

FORMATS = {
    "keras": "model.keras",
    "python": "model.py",
    "litert": "model.tflite",
    "onnx": "model.onnx",
    "saved_model": "saved_model",
    "yaml": "architecture.yaml",
}
"""Formats, and the names of their files; of a LiteRT file of float32."""

WEIGHTS, LABELS = "model.weights.h5", "labels.txt"


@dataclass(frozen=True)
class ExportOptions:
    """Which files to write, and the precisions of the LiteRT files."""

    formats: Sequence[str] = ("keras", "python")
    precisions: Sequence[Precision] = ("float32",)  # one LiteRT file for each
    calibration: np.ndarray | None = None  # training images for precision int8, as the network takes them
    integer_io: bool = False  # the int8 file has int8 tensors at input and output
    signature: Signature | None = None  # written to each file; None: unknown

    def __post_init__(self) -> None:
        if not self.formats:
            raise InputError(f"an export needs a format, got none; use some of {', '.join(FORMATS)}")
        for name in self.formats:
            if name not in FORMATS:
                raise InputError(f"unknown format '{name}'; {nearest(name, FORMATS)}")
        for precision in self.precisions:
            if precision not in PRECISIONS:
                raise InputError(f"unknown precision '{precision}'; {nearest(precision, PRECISIONS)}")
        if not self.precisions:
            raise InputError("a LiteRT file needs a precision, got none; use for example float32")
        if self.integer_io and "int8" not in self.precisions:
            raise InputError(
                f"integers at input and output need precision int8, got {', '.join(self.precisions)}; "
                "add --precision int8"
            )
        if "litert" not in self.formats and tuple(self.precisions) != ("float32",):
            raise InputError(
                f"only LiteRT files have a precision, got {', '.join(self.precisions)} for the formats "
                f"{', '.join(self.formats)}; add --format litert"
            )


def litert_key(precision: Precision) -> str:
    """Return the name of a LiteRT file in the paths of `export_files`: litert, litert.int8."""
    return "litert" if precision == "float32" else f"litert.{precision}"


def litert_file(precision: Precision) -> str:
    """Return the file name of a LiteRT file: model.tflite, model.int8.tflite."""
    return FORMATS["litert"] if precision == "float32" else f"model.{precision}.tflite"


def export_files(
    design: Design, weights: Sequence[np.ndarray] | None, folder: Path, options: ExportOptions
) -> dict[str, Path]:
    """Write a design's files, and always `architecture.yaml`, to a folder; return the path of each.

    Paths are named by their format, LiteRT files by `litert_key`. With a signature, each file says what its
    input and outputs mean, and `labels.txt` has the name of each output in a line.

    `weights` have the order of `nas.backends.build_model`; None for initial weights. Existing files are
    replaced; if they are of another network, those of other formats are removed. Raises InputError if the
    folder can't be written, and ConversionError if a runtime can't express the network.
    """
    formats = list(dict.fromkeys(options.formats))
    paths = {"yaml": folder / FORMATS["yaml"]}
    text = design.architecture.to_yaml(design.training)
    if paths["yaml"].exists() and paths["yaml"].read_text(encoding="utf-8") != text:
        remove_files(folder)
    with output_file(paths["yaml"]) as unfinished:
        unfinished.write_text(text, encoding="utf-8")
    signature = options.signature
    if signature is not None:
        paths["labels"] = folder / LABELS
        with output_file(paths["labels"]) as unfinished:
            unfinished.write_text(labels_text(signature.classes), encoding="utf-8")
    if "keras" in formats:
        paths["keras"] = export_keras(design, weights, folder / FORMATS["keras"], signature)
    if "python" in formats:
        paths["python"] = export_python(design, weights, folder / FORMATS["python"], signature)
        if weights is not None:
            paths["weights"] = folder / WEIGHTS
    for precision in dict.fromkeys(options.precisions) if "litert" in formats else ():
        litert = LitertOptions(precision, options.calibration, options.integer_io and precision == "int8")
        path = folder / litert_file(precision)
        paths[litert_key(precision)] = export_litert(design.architecture, weights, path, litert, signature)
    if "onnx" in formats:
        paths["onnx"] = export_onnx(design.architecture, weights, folder / FORMATS["onnx"], signature)
    if "saved_model" in formats:
        path = folder / FORMATS["saved_model"]
        paths["saved_model"] = export_saved_model(design.architecture, weights, path, signature)
    return paths


def remove_files(folder: Path) -> None:
    """Remove the files of an earlier export, which would pass for those of the network that is exported."""
    for name in (*FORMATS.values(), *map(litert_file, PRECISIONS), WEIGHTS, LABELS):
        if (folder / name).is_dir():
            shutil.rmtree(folder / name)
        else:
            (folder / name).unlink(missing_ok=True)
