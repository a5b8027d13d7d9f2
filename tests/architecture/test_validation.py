"""Messages about invalid values of parts."""

import pytest

from nas.architecture import Head, Stage, Stem, Training, validate_part
from nas.errors import SpaceError


@pytest.mark.parametrize(
    ("part", "values", "message"),
    [
        (Stage, {"widht": 8}, "stage has no value named 'widht'; did you mean 'width'?"),
        (Stage, {}, "stage.width must be given; write for example 'width: 32'"),
        (Stage, {"width": "32"}, "stage.width must be a whole number, got '32'"),
        (Stage, {"width": True}, "stage.width must be a whole number, got true"),
        (Stage, {"width": 8.5}, "stage.width must be a whole number, got 8.5"),
        (Stage, {"width": None}, "stage.width must be a whole number, got null"),
        (Stage, {"width": 0}, "stage.width must be at least 1, got 0; use 1 or more"),
        (Stage, {"width": 9000}, "stage.width must be at most 8192, got 9000; use 8192 or less"),
        (
            Stage,
            {"width": {"chioce": [8]}},
            "must be a plain value, got {'chioce': [8]}; an open value is written",
        ),
        (Stage, {"width": 8, "kernel_size": 4}, "stage.kernel_size must be odd, got 4; use 3 or 5"),
        (Stage, {"width": 8, "kernel_size": 0}, "stage.kernel_size must be at least 1, got 0"),
        (Stage, {"width": 8, "conv": "seperable"}, "got 'seperable'; did you mean 'separable'?"),
        (Stage, {"width": 8, "residual": False}, "got false; known: identity, none, projection"),
        (Stage, {"width": 8, "residual": "no"}, "did you mean 'none'?"),
        (Stage, {"width": 8, "pool_size": 2.0}, "stage.pool_size must be a whole number, got 2.0; use 2"),
        (
            Stage,
            {"width": 8, "pool_size": 4},
            "stage.pool_size must be one of its values, got 4; known: 2, 3",
        ),
        (Stage, {"width": 8, "bias": "false"}, "stage.bias must be true or false, got 'false'"),
        (Stage, {"width": 8, "bias": 0}, "stage.bias must be true or false, got 0"),
        (Stage, {"width": 8, "dropout": 1}, "stage.dropout must be under 1.0, got 1; use less than 1.0"),
        (Stage, {"width": 8, "dropout": "0.5"}, "stage.dropout must be a number, got '0.5'"),
        (Stage, {"width": [8, 16]}, "stage.width must be a whole number, got [8, 16]"),
        (Stem, {"width": 8, "stride": True}, "stage.stride must be a whole number, got true; use 1"),
        (Head, {"dense": [8, "16"]}, "stage.dense.2 must be a whole number, got '16'"),
        (Head, {"dense": "16"}, "stage.dense must be a list, got '16'"),
        (Training, {"learning_rate": 0}, "stage.learning_rate must be over 0.0, got 0"),
        (Training, {"flp": True}, "stage has no value named 'flp'; did you mean 'flip'?"),
        (Stage, 8, "stage must be a mapping of names to values, got 8"),
    ],
)
def test_an_invalid_value_raises_one_sentence(part, values, message):
    with pytest.raises(SpaceError) as error:
        validate_part(part, values, "stage")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_an_unknown_key_is_reported_before_other_errors():
    with pytest.raises(SpaceError, match="did you mean 'width'"):
        validate_part(Stage, {"witdh": 8, "kernel_size": 4}, "stage")
