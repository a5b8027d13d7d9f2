"""A SavedModel has a plain signature, in a folder that is replaced as a whole."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from nas.backends import build_model, compute_outputs
from nas.data import Signature
from nas.errors import InputError
from nas.export.saved_model import export_saved_model
from tests.exported_designs import IMAGE, design, random_inputs, random_weights, stages


def test_the_signature_takes_any_batch_and_knows_its_meaning(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    import tensorflow as tf

    one = design({**IMAGE, **stages(1, 8), "training": {"rotation": 0.2}})
    architecture = one.architecture
    weights = random_weights(build_model(architecture))
    meaning = Signature(task="classification", input_shape=(16, 16, 3), classes=tuple("abcd"), feeding={})
    path = tmp_path / "saved_model"
    path.mkdir()
    (path / "old").write_text("of an earlier export")
    capfd.readouterr()
    assert export_saved_model(architecture, weights, path, meaning) == path
    assert capfd.readouterr() == ("", "")
    assert [one.name for one in tmp_path.iterdir()] == ["saved_model"]
    assert not (path / "old").exists()
    loaded = tf.saved_model.load(str(path))
    assert set(loaded.signatures) == {"serve", "serving_default"}  # two names of one function
    serve = loaded.signatures["serving_default"]
    (entry,) = serve.structured_input_signature[1].values()
    assert (entry.name, entry.dtype, entry.shape.as_list()) == ("input", tf.float32, [None, 16, 16, 3])
    for count in (1, 3):
        x = random_inputs(architecture, count)
        found = serve(input=tf.constant(x))["output_0"].numpy()
        np.testing.assert_allclose(found, compute_outputs(architecture, weights, x), atol=1e-5)
    texts = json.loads((path / "assets.extra" / "nas.json").read_text())
    assert json.loads(texts["classes"]) == ["a", "b", "c", "d"]


def test_a_folder_that_cannot_be_written_is_an_input_error() -> None:
    with pytest.raises(InputError, match="must be writable"):
        export_saved_model(design({**IMAGE, **stages(1)}).architecture, None, Path("/proc/none/saved_model"))
