"""The export of several formats to a folder, and its errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nas.architecture import Design, read_yaml
from nas.backends import build_model
from nas.errors import InputError, RunError
from nas.export import ExportOptions, export_files
from nas.files import output_file
from nas.space import SearchSpace
from tests.exported_designs import GRAMMAR, IMAGE, design, random_weights, stages


@pytest.fixture(scope="module")
def exported() -> tuple[Design, list[np.ndarray]]:
    data = {**IMAGE, **stages(2, 16, convs=2, shrink="max_pool", normalization="between")}
    one = design({**data, "head": {"pooling": "flatten"}, "training": {"learning_rate": 0.003}})
    return one, random_weights(build_model(one.architecture))


def test_a_folder_contains_each_format_and_a_file_that_is_a_search_space(
    tmp_path: Path, exported: tuple[Design, list[np.ndarray]]
) -> None:
    one, weights = exported
    paths = export_files(one, weights, tmp_path / "deep" / "out", ExportOptions(["keras", "python"]))
    assert {name: path.name for name, path in paths.items()} == {
        "keras": "model.keras",
        "python": "model.py",
        "weights": "model.weights.h5",
        "yaml": "architecture.yaml",
    }
    assert sorted(path.name for path in (tmp_path / "deep" / "out").iterdir()) == sorted(
        path.name for path in paths.values()
    )
    text = paths["yaml"].read_text()
    again = design(read_yaml(text, "it"))
    assert again == one
    opened = text.replace("width: 16", "width: {choice: [16, 24]}", 1)
    assert opened != text
    assert SearchSpace(read_yaml(opened, "it")).settings_count() == 2


def test_files_of_another_network_do_not_stay(
    tmp_path: Path, exported: tuple[Design, list[np.ndarray]]
) -> None:
    one, weights = exported
    export_files(one, weights, tmp_path, ExportOptions(["keras", "python", "litert"]))
    export_files(one, weights, tmp_path, ExportOptions(["keras"]))  # of the same network: they stay
    assert (tmp_path / "model.tflite").exists()
    (tmp_path / "notes.txt").write_text("mine")
    export_files(design({**IMAGE, **stages(1, 8)}), None, tmp_path, ExportOptions(["keras"]))
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == ["architecture.yaml", "model.keras", "notes.txt"]


SMALL_IMAGES = np.zeros((3, 8, 8, 3), np.float32)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"formats": ("kers",)}, "did you mean 'keras'"),
        ({"formats": ("litert",), "precisions": ("int4",)}, "did you mean 'int8'"),
        ({"formats": ("litert",), "precisions": ()}, "needs a precision, got none"),
        ({"formats": ("keras",), "precisions": ("int8",)}, "got int8 for the formats keras; add --format"),
        ({"formats": ("litert",), "integer_io": True}, "got float32; add --precision int8"),
        ({"formats": ("litert",), "precisions": ("int8",)}, "needs calibration images, got none"),
        (
            {"formats": ("litert",), "precisions": ("int8",), "calibration": SMALL_IMAGES},
            r"\(16, 16, 3\), got \(8, 8, 3\)",
        ),
    ],
)
def test_invalid_options_are_input_errors(
    tmp_path: Path, exported: tuple[Design, list[np.ndarray]], options: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(InputError, match=sentence):
        export_files(*exported, tmp_path, ExportOptions(**options))


@pytest.mark.parametrize("name", ["keras", "python", "litert", "saved_model"])
def test_weights_of_another_network_are_an_input_error(
    tmp_path: Path, exported: tuple[Design, list[np.ndarray]], name: str
) -> None:
    one, weights = exported
    with pytest.raises(InputError, match="fresh weights"):
        export_files(one, weights[1:], tmp_path, ExportOptions((name,)))


def test_a_folder_that_cannot_be_written_is_an_input_error(tmp_path: Path) -> None:
    one = design(GRAMMAR["head alone"])
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(InputError, match="must be writable"):
        export_files(one, None, tmp_path / "file", ExportOptions(["python"]))
    with pytest.raises(InputError, match="must be writable"):
        export_files(one, None, Path("/proc/nowhere"), ExportOptions(["python"]))


def test_a_full_disk_leaves_the_previous_file(tmp_path: Path) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("needs /dev/full")
    path = tmp_path / "model.py"
    path.write_text("previous")

    def fill() -> None:
        with output_file(path) as unfinished:
            unfinished.symlink_to(full)
            unfinished.write_text("new")

    with pytest.raises(RunError, match="disk is full"):
        fill()
    assert path.read_text() == "previous"
    assert [one.name for one in tmp_path.iterdir()] == ["model.py"]
