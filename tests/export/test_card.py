"""The model card says how to feed and load the files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nas.backends import build_model, integer_scales
from nas.data import Signature
from nas.export import CardFacts, ExportOptions, FileCheck, card_text, export_files
from tests.exported_designs import IMAGE, design, random_inputs, random_weights, stages

ONE = design({**IMAGE, **stages(1, 8)})
FACTS = CardFacts(
    origin="photos:3 0123456789abcdef",
    title="Trial 3 of photos",
    data=["`photos`, fingerprint abc."],
    figures=[("accuracy", "97.2 ± 0.6 %", "share of images that are right")],
    file_qualities={"accuracy": {"saved_model": "96.9% ± 0.6"}},
    training=["Trained for 9 epochs."],
    notes=["Each file was compared."],
    train_further="nas train photos:3 --epochs 100",
)


def signature(**feeding: Any) -> Signature:
    classes = ("cat", "dog", "a | b", "owl")
    return Signature(
        task="classification", input_shape=(16, 16, 3), classes=classes,
        feeding={"channels": "RGB", "resize": "bilinear", **feeding},
    )  # fmt: skip


def test_a_card_has_figures_feeding_and_loading() -> None:
    values = {"accuracy": 0.96, "accuracy_se": 0.01, "val_loss": 0.1, "val_loss_se": 0.01}
    checks = [
        FileCheck("keras", Path("model.keras"), "float32", 12_345, 100, 5e-7, 1.0),
        FileCheck("python", Path("model.py"), "float32", 2000),
        FileCheck("saved_model", Path("saved_model"), "float32", 3000, 100, 5e-7, 1.0, values),
    ]
    card = card_text(ONE, FACTS, signature(), checks)
    for text in (
        "---\nlibrary_name: keras\nexport: photos:3 0123456789abcdef\n---\n\n# Trial 3 of photos\n",
        "| accuracy | 97.2 ± 0.6 % | share of images that are right |",
        "| file | bytes | greatest difference | equal decisions | accuracy |",
        "| `model.keras` | 12,345 | 5e-07 | 100.0% | - |",
        "| `model.py` | 2,000 | - | - | - |",
        "| 5e-07 | 100.0% | 96.9% ± 0.6 |",
        "with values from 0 to 255",
        "fed with values from 0 to 1, it answers at random",
        "nearest-neighbour interpolation costs accuracy",
        'keras.saving.load_model("model.keras")',
        "import model  # model.py\nnetwork = model.build_model()",
        'tensorflow.saved_model.load("saved_model")',
        "$ nas train photos:3 --epochs 100",
        "## Limits",
        "## Licence\n\nUnknown",
        "0: cat, 1: dog",
    ):
        assert text in card, text
    assert "val_loss" not in card


def test_what_is_not_known_or_does_not_matter_is_left_out() -> None:
    bare = card_text(ONE, FACTS, None, [])
    assert "## Input and output" not in bare
    assert "## Load" not in bare
    as_is = card_text(ONE, FACTS, signature(rescale=False, value_range=(0, 1), resize=""), [])
    assert "at random" not in as_is
    assert "nearest" not in as_is


@pytest.mark.parametrize("integer_io", [False, True])
def test_integers_have_their_scale_and_zero_point(tmp_path: Path, integer_io: bool) -> None:
    weights = random_weights(build_model(ONE.architecture))
    images = random_inputs(ONE.architecture, 8)
    options = ExportOptions(("litert",), ("int8",), images, integer_io)
    path = export_files(ONE, weights, tmp_path, options)["litert.int8"]
    card = card_text(ONE, FACTS, signature(), [FileCheck("litert.int8", path, "int8", 1)])
    scales = integer_scales(path.read_bytes())
    assert set(scales) == ({"input", "output"} if integer_io else set())
    assert ("int8 input" in card) == integer_io
    for scale, zero in scales.values():
        assert f"value = (integer - ({zero})) * {scale:.9g}" in card
