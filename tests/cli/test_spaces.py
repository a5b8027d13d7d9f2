"""What `nas space show` prints."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest

from nas.cli import main

SPACE = """\
name: mine
stages: [{width: {choice: [2, 4]}}]
training: {flip: true, mixup: {choice: [0, 0.2]}, cutout: 0}
"""


def show(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with contextlib.suppress(SystemExit):
        main(["space", "show", *arguments])
    return capsys.readouterr().out


def test_the_augmentation_of_a_space_is_shown_with_what_else_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").write_text(SPACE)
    shown = " ".join(show(["mine.yaml"], capsys).split())
    assert "augmentation flip, mixup; not used: crop, translation, rotation, zoom, brightness," in shown
    assert json.loads(show(["mine.yaml", "--json"], capsys))["augmentation"] == ["flip", "mixup"]
    assert "augmentation none; not used: flip, crop" in " ".join(show(["vgg_like"], capsys).split())
