"""The formats of exported networks, and the export of several at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nas.architecture import Design
from nas.backends import Precision
from nas.data import Signature, labels_text
from nas.errors import InputError, nearest
from nas.export.keras_file import export_keras
from nas.export.litert import export_litert
from nas.export.onnx import export_onnx
from nas.export.python import export_python
from nas.files import output_file

if TYPE_CHECKING:
    import numpy as np

__all__ = ["FORMATS", "ExportOptions", "export_files"]

FORMATS = {"keras": "model.keras", "python": "model.py", "litert": "model.tflite", "onnx": "model.onnx"}
"""Formats, and the names of their files."""

WEIGHTS, LABELS = "model.weights.h5", "labels.txt"


@dataclass(frozen=True)
class ExportOptions:
    """Which files to write, and the precision of the LiteRT file."""

    formats: Sequence[str] = ("keras", "python")
    precision: Precision = "float32"  # of the LiteRT file
    calibration: np.ndarray | None = None  # training images for precision int8, as the network takes them
    signature: Signature | None = None  # written to each file; None: unknown


def export_files(
    design: Design, weights: Sequence[np.ndarray] | None, folder: Path, options: ExportOptions
) -> dict[str, Path]:
    """Write a design's files, and `architecture.yaml`, to a folder; return the path of each by its format.

    With a signature, each file says what its input and outputs mean, and `labels.txt` has the name of each
    output in a line.

    `weights` have the order of `nas.backends.build_model`; None for initial weights. Existing files are
    replaced; if they are of another network, those of other formats are removed. Raises InputError for an
    unknown format or if the folder can't be written, and ConversionError if a runtime can't express the
    network.
    """
    for name in options.formats:
        if name not in FORMATS:
            raise InputError(f"unknown format '{name}'; {nearest(name, FORMATS)}")
    paths = {name: folder / FORMATS[name] for name in dict.fromkeys(options.formats)}
    paths["architecture"] = folder / "architecture.yaml"
    text = design.architecture.to_yaml(design.training)
    if paths["architecture"].exists() and paths["architecture"].read_text(encoding="utf-8") != text:
        _remove_files(folder)
    with output_file(paths["architecture"]) as unfinished:
        unfinished.write_text(text, encoding="utf-8")
    signature = options.signature
    if signature is not None:
        paths["labels"] = folder / LABELS
        with output_file(paths["labels"]) as unfinished:
            unfinished.write_text(labels_text(signature.classes), encoding="utf-8")
    if "keras" in paths:
        export_keras(design, weights, paths["keras"], signature)
    if "python" in paths:
        export_python(design, weights, paths["python"], signature)
        if weights is not None:
            paths["weights"] = folder / WEIGHTS
    if "litert" in paths:
        export_litert(
            design.architecture, weights, paths["litert"], options.precision, options.calibration, signature
        )
    if "onnx" in paths:
        export_onnx(design.architecture, weights, paths["onnx"], signature)
    return paths


def _remove_files(folder: Path) -> None:
    """Remove the files of an earlier export, which would pass for those of the network that is exported."""
    for name in (*FORMATS.values(), WEIGHTS, LABELS):
        (folder / name).unlink(missing_ok=True)
