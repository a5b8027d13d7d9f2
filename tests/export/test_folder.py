"""The folder of an export holds the files of one network, all of one set of weights."""

from __future__ import annotations

from pathlib import Path

import pytest

from nas.errors import InputError
from nas.export import CARD, CardFacts, ExportOptions, card_text, complete_options, export_folder
from nas.export.card import read_origin
from tests.exported_designs import IMAGE, design, stages


def write_export(folder: Path, origin: str, *names: str, force: bool = False) -> None:
    facts = CardFacts(origin, "title", [], [], [], [], [], "nas train photos:3")
    with export_folder(folder, origin, force) as work:
        (work / CARD).write_text(card_text(design({**IMAGE, **stages(1, 8)}), facts, None, []))
        for name in names:
            path = work / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(origin)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_files_of_the_same_weights_stay_and_those_of_others_go(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "out"
    write_export(folder, "photos:3 aaa", "model.keras", "saved_model/variables/data")
    write_export(folder, "photos:3 aaa", "model.onnx", "saved_model/saved_model.pb")
    assert names(folder) == ["model.keras", "model.onnx", CARD, "saved_model"]
    assert names(folder / "saved_model") == ["saved_model.pb"]
    (folder / "notes.txt").write_text("mine")
    write_export(folder, "photos:3 bbb", "model.int8.tflite")  # trained on since
    assert names(folder) == ["model.int8.tflite", CARD, "notes.txt"]
    assert read_origin(folder) == "photos:3 bbb"


@pytest.mark.parametrize("other", ["photos:4 aaa", "pets:3 aaa"])
def test_the_export_of_another_network_is_replaced_only_by_force(tmp_path: Path, other: str) -> None:
    write_export(tmp_path, "photos:3 aaa", "model.keras", "classes.csv")
    with pytest.raises(
        InputError, match=r"which holds the export of photos:3; use another --out, or --force"
    ):
        write_export(tmp_path, other, "model.onnx")
    assert names(tmp_path) == ["classes.csv", "model.keras", CARD]
    write_export(tmp_path, other, "model.onnx", force=True)
    assert names(tmp_path) == ["model.onnx", CARD]
    assert read_origin(tmp_path) == other


def test_other_files_are_not_joined_without_force(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(InputError, match=r"which holds other files \('thesis.tex'\); use another --out"):
        write_export(tmp_path, "photos:3 aaa")
    write_export(tmp_path, "photos:3 aaa", "model.keras", force=True)
    assert names(tmp_path) == ["model.keras", CARD, "thesis.tex"]


def test_after_an_error_nothing_is_written(tmp_path: Path) -> None:
    folder = tmp_path / "out"

    def fail() -> None:
        with export_folder(folder, "photos:3 aaa", False) as work:
            (work / "model.keras").write_text("half")
            raise ValueError("no such operator")

    with pytest.raises(ValueError, match="no such operator"):
        fail()
    assert not folder.exists()
    write_export(folder, "photos:3 aaa", "model.keras")
    with pytest.raises(ValueError, match="no such operator"):
        fail()
    assert names(folder) == ["model.keras", CARD]
    assert (folder / "model.keras").read_text() == "photos:3 aaa"


def test_what_a_killed_export_left_is_no_content(tmp_path: Path) -> None:
    (tmp_path / ".unfinished-1").mkdir()
    write_export(tmp_path, "photos:3 aaa", "model.keras")
    assert (tmp_path / "model.keras").exists()


def test_a_file_and_a_folder_without_permission_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="an export needs a folder, got the file"):
        write_export(tmp_path / "file", "photos:3 aaa")
    with pytest.raises(InputError, match="must be writable"):
        write_export(Path("/proc/nowhere"), "photos:3 aaa")


def test_formats_of_an_earlier_export_are_written_again(tmp_path: Path) -> None:
    write_export(tmp_path, "photos:3 aaa", "model.keras", "model.float16.tflite", "saved_model/one")
    (tmp_path / "architecture.yaml").write_text("")
    asked = ExportOptions(("python",))
    found = complete_options(asked, tmp_path, "photos:3 aaa")
    assert found.formats == ("python", "keras", "saved_model", "yaml", "litert")
    assert found.precisions == ("float16",)
    found = complete_options(ExportOptions(("litert",), ("int8",)), tmp_path, "photos:3 aaa")
    assert found.precisions == ("int8", "float16")
    assert complete_options(asked, tmp_path, "photos:3 bbb") == asked
    assert complete_options(asked, tmp_path / "absent", "photos:3 aaa") == asked
