"""The options of the command line for data are the fields of `DataOptions`."""

from __future__ import annotations

from typing import get_args, get_origin

import pytest
import typer
from typer.testing import CliRunner

from nas.cli.data_options import DATA_OPTIONS, with_data_options
from nas.data import DataOptions


def test_each_field_has_an_option_of_its_type():
    assert list(DATA_OPTIONS) == list(DataOptions.model_fields)
    for name, (kind, _) in DATA_OPTIONS.items():
        value = {int: 3, float: 0.3, bool: True, tuple: ("red",)}.get(kind)
        if value is None:  # text: one of the allowed words
            annotation = DataOptions.model_fields[name].annotation
            value = get_args(annotation)[-1] if get_origin(annotation) else "red"
        assert getattr(DataOptions.parse({name: value}), name) == value


@pytest.mark.parametrize(
    ("words", "given"),
    [([], {}), (["--image-size", "8", "--labels", "masks"], {"image_size": 8, "labels": "masks"})],
)
def test_a_command_receives_the_options_that_are_given(words, given):
    received = []

    def command(data_options: dict[str, object] = {}) -> None:  # noqa: B006
        received.append(data_options)

    app = typer.Typer()
    app.command()(with_data_options(command))
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    assert received == [given]
