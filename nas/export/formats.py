"""A network as files: Keras, readable Python, LiteRT, ONNX; a function for each, and one for several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nas.architecture import Design
from nas.errors import InputError, nearest
from nas.export.keras_file import export_keras
from nas.export.litert import export_litert
from nas.export.onnx import export_onnx
from nas.export.python.source import export_python, python_source
from nas.files import output_file

if TYPE_CHECKING:
    import numpy as np

__all__ = [
    "FORMATS",
    "ExportOptions",
    "export",
    "export_files",
    "export_keras",
    "export_litert",
    "export_onnx",
    "export_python",
    "python_source",
]

FORMATS = {"keras": "model.keras", "python": "model.py", "litert": "model.tflite", "onnx": "model.onnx"}
"""What can be written, and the name of its file."""


@dataclass(frozen=True)
class ExportOptions:
    """What to write, and how exact the LiteRT file is."""

    formats: Sequence[str] = ("keras", "python")
    precision: str = "float32"  # of the LiteRT file: see nas.backends.PRECISIONS
    calibration: np.ndarray | None = None  # training images for precision int8


def export_files(
    design: Design, weights: Sequence[np.ndarray] | None, folder: Path, options: ExportOptions
) -> dict[str, Path]:
    """Write a design's files into a folder, architecture.yaml always; give the path of each by its format.

    `weights` are in the order of `nas.backends.keras_model.build`, None for fresh ones. A file that exists is replaced.
    Raises InputError for an unknown format, or where the folder can't be written; ConversionError where a
    runtime can't express the network.
    """
    for name in options.formats:
        if name not in FORMATS:
            raise InputError(f"a format must be known, got '{name}'; {nearest(name, FORMATS)}")
    paths = {name: folder / FORMATS[name] for name in dict.fromkeys(options.formats)}
    paths["architecture"] = folder / "architecture.yaml"
    with output_file(paths["architecture"]) as unfinished:
        unfinished.write_text(design.architecture.to_yaml(design.training), encoding="utf-8")
    if "keras" in paths:
        export_keras(design, weights, paths["keras"])
    if "python" in paths:
        export_python(design, weights, paths["python"])
        if weights is not None:
            paths["weights"] = paths["python"].with_suffix(".weights.h5")
    if "litert" in paths:
        export_litert(design.architecture, weights, paths["litert"], options.precision, options.calibration)
    if "onnx" in paths:
        export_onnx(design.architecture, weights, paths["onnx"])
    return paths


def export(
    design: Design, weights: Sequence[np.ndarray] | None, folder: Path, formats: Sequence[str]
) -> dict[str, Path]:
    """Write a design's files with a LiteRT file, if asked for, of float32: see `write`."""
    return export_files(design, weights, folder, ExportOptions(formats))
