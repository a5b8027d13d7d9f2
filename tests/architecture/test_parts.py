"""The values that the parts of an architecture accept, and the descriptions of their fields."""

import subprocess
import sys

import pytest
from pydantic import ValidationError

from nas.architecture import Architecture, Decoder, Head, Stage, Stem, Training


@pytest.mark.parametrize(("value", "dense"), [(16, (16,)), ([16, 8], (16, 8)), ([], ()), ((4,), (4,))])
def test_dense_layers_are_a_number_or_a_list(value, dense):
    assert Head(dense=value).dense == dense


def test_a_number_may_be_written_as_an_integer():
    assert Stage(width=8, dropout=0).dropout == 0.0
    assert isinstance(Stage(width=8, dropout=0).dropout, float)


def test_parts_are_frozen():
    with pytest.raises(ValidationError, match="frozen"):
        Stage(width=8).width = 9


@pytest.mark.parametrize("part", [Architecture, Stem, Stage, Decoder, Head, Training])
def test_every_field_has_a_description(part):
    assert [name for name, field in part.model_fields.items() if not field.description] == []


def test_architectures_and_spaces_import_no_large_library():
    code = (
        "import sys, nas.architecture, nas.space; print(*sorted({m.partition('.')[0] for m in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    large = "keras tensorflow optuna mlflow keras_tuner plotly sklearn pandas PIL scipy"
    assert not set(large.split()) & set(done.stdout.split())
