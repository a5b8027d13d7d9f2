"""Writing and reading files, and expanding `block` and `stages`."""

import os
import re
import time

import pytest

from nas.architecture import dump_yaml, read_text, read_yaml
from nas.architecture.notation import expand_stages
from nas.errors import SpaceError

PLAIN = {
    "numbers": {"a": 1e-3, "b": 1e-7, "c": -2, "d": 2.0, "e": 1e22},
    "text that looks like another type": {
        "a": "no",
        "b": "1e3",
        "c": "010",
        "d": "~",
        "e": "",
        "f": "true",
        "g": "12:30",
        "h": "a\nb",
        "i": ".5",
    },
    "nested": {"a": None, "b": [{"width": 8}, {"width": 16, "bias": False}], "c": {"d": [1, 2]}},
}


@pytest.mark.parametrize("data", PLAIN.values(), ids=PLAIN.keys())
def test_dumped_data_is_read_back(data):
    assert read_yaml(dump_yaml(data), "it") == data


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("no", "no"),
        ("on", "on"),
        ("true", True),
        ("010", 10),
        ("1:30", "1:30"),
        ("null", None),
    ],
)
def test_scalars_follow_the_core_schema(text, value):
    assert read_yaml(f"a: {text}", "it") == {"a": value}


def test_each_stage_takes_one_line():
    stage = {
        "width": 128,
        "convs": 2,
        "conv": "inverted_bottleneck",
        "normalization": "between",
        "bias": False,
    }
    text = dump_yaml({"stages": [{**stage, "activation": "hard_silu", "squeeze_excitation": 0.25}] * 2})
    assert len(text.splitlines()) == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3", "line 3 'a' occurs twice"),
        ("a: {b: 1, c: 2,\n b: 3}", "line 2 'b' occurs twice"),
        ("a: [1, 2", "line 1"),
        ("- a", "must be a mapping such as 'stages: [...]', got list"),
        ("", "got NoneType"),
        ("a: !!python/object:os.system x", "line 1"),
        ("1: 2", "a name must be text, got '1'"),
        ("a: " + "[" * 3000, "nested too deeply"),
        ("\x00", "must be YAML"),
    ],
)
def test_invalid_yaml_raises_one_sentence_with_the_line(text, message):
    with pytest.raises(SpaceError, match=r"^it must be ") as error:
        read_yaml(text, "it")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def expanded_stages(**data):
    return expand_stages(data)["stages"]


def test_growth_multiplies_the_width_of_each_stage():
    stages = expanded_stages(stages={"count": 4, "width": 8, "growth": 1.5}, block={"convs": 2})
    assert [stage["width"] for stage in stages] == [8, 12, 18, 27]
    assert {stage["convs"] for stage in stages} == {2}


def test_a_list_holds_one_value_per_stage():
    block = {"kernel_size": [3, 5], "convs": 2}
    assert expanded_stages(block=block, stages=[{"width": 8}, {"width": 16, "convs": 1}]) == [
        {"kernel_size": 3, "convs": 2, "width": 8},
        {"kernel_size": 5, "convs": 1, "width": 16},
    ]
    assert [stage["width"] for stage in expanded_stages(stages={"count": 2, "width": [4, 9]})] == [4, 9]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"stages": {"count": 0, "width": 8}}, "stages.count must be a whole number from 1 to 64, got 0"),
        ({"stages": {"count": True, "width": 8}}, "got True"),
        ({"stages": {"count": 2, "width": 8, "growth": 11}}, "stages.growth must be a number from 0.1 to 10"),
        ({"stages": {"count": 2, "width": [8, 8], "growth": 2}}, "stages.growth needs one width"),
        ({"stages": {"count": 2, "width": [8]}}, "a list with one for each of 2 stages, got 1"),
        (
            {"stages": [{"width": 8}], "block": {"convs": [1, 2]}},
            "a list with one for each of 1 stages, got 2",
        ),
        ({"stages": [8]}, "stages.1 must be a mapping such as {width: 32}, got 8"),
        ({"stages": 8}, "stages must be a list, or a mapping"),
        ({"stages": None}, "stages must be a list, or a mapping"),
        ({"block": 8}, "block must be a mapping"),
    ],
)
def test_stages_that_cannot_be_expanded_raise_one_sentence(data, message):
    with pytest.raises(SpaceError) as error:
        expand_stages(data)
    assert message in str(error.value)


ALIASES = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join(['*' + chr(97 + n)] * 9)}]\n" for n in range(10)
)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (ALIASES, "at line 6 it has more than 100,000 values when its aliases are expanded"),
        ("stages: &s\n  - *s\n", "an alias refers to the part in which it stands"),
        ("stem: &s {width: *s}\n", "an alias refers to the part in which it stands"),
        ("width: " + "9" * 5000, "a number must have at most 18 digits, got 5,000"),
        ("a: " + "[" * 60 + "]" * 60, "it is nested more than 50 deep"),
        ("a: " + "[" * 3000 + "]" * 3000, "it is nested too deeply"),
    ],
)
def test_text_that_would_be_read_without_end_is_refused(text, problem):
    started = time.monotonic()
    with pytest.raises(SpaceError, match=re.escape(problem)):
        read_yaml(text, "it")
    assert time.monotonic() - started < 20


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_only_regular_files_of_a_moderate_size_are_read(tmp_path):
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "zero.yaml").symlink_to("/dev/zero")
    (tmp_path / "large.yaml").write_text("a: 1\n#" + "x" * 1_000_000)
    for name, problem in (
        ("pipe.yaml", "it is no regular file"),
        ("zero.yaml", "it is no regular file"),
        ("large.yaml", "it has 1,000,006 bytes, over the limit of 1,000,000"),
    ):
        with pytest.raises(SpaceError, match=problem):
            read_text(tmp_path / name, "a space")
