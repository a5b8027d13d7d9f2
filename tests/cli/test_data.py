"""`nas data clean`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from data_files import save_npz, some_labels, some_pixels

from nas.cli import main
from nas.data import load_dataset


def test_clean_empties_the_cache_and_says_how_much_was_freed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NAS_CACHE", str(tmp_path / "cache"))
    source = save_npz(tmp_path, x_train=some_pixels(30, 200, 200), y_train=some_labels(30))
    load_dataset(source)
    with pytest.raises(SystemExit) as done:
        main(["data", "clean"])
    assert done.value.code == 0
    assert f"Removed 1 data sets from {tmp_path}/cache and freed 1.2 MB.\n" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["data", "clean", "--json"])
    assert json.loads(capsys.readouterr().out) == {
        "folder": f"{tmp_path}/cache", "data_sets": 0, "freed_bytes": 0, "busy": 0,
    }  # fmt: skip
