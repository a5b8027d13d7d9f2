"""Input that is changed at random: every error is one sentence, and nothing is written.

2,000 examples; `NAS_FUZZ=20` runs twenty times as many, with other seeds.
"""

from __future__ import annotations

import contextlib
import json
import os
import string
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from recorded_trials import trial

from nas.architecture import Design, read_yaml
from nas.errors import InputError, NasError, SpaceError
from nas.record import parse_trial_reference
from nas.record.lease import Holder
from nas.record.mlflow_runs import is_search_name, read_table
from nas.record.names import spool_folder
from nas.record.spool import Spool
from nas.record.trial_text import decode, encode
from nas.searching import Plan, SearchOptions
from nas.searching.session import default_name
from nas.space import SearchSpace, shipped_files
from nas.text import printable, redacted

FACTOR = int(os.environ.get("NAS_FUZZ", "1"))
SPACES = [path.read_text(encoding="utf-8") for path in shipped_files().values()]


def examples(count: int):
    return settings(
        max_examples=count * FACTOR,
        derandomize=FACTOR == 1,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    )


scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20),
    st.sampled_from(["../../x", "[/b]", "\x1b[2J", "1e999", "NaN", "", "choice", "range", 2**70, -1, 1e308]),
)  # fmt: skip
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.text(string.ascii_letters, max_size=8), inner, max_size=4),
    ),
    max_leaves=8,
)


pytestmark = pytest.mark.trains  # 2,000 examples take 20 s


@pytest.fixture(autouse=True)
def _nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    yield
    assert list(tmp_path.rglob("*")) == []


def outcome(call, error: type[NasError], longest: int = 5000):
    """Return the result of a call, or None if it raises the error, whose text is one sentence."""
    message = None
    try:
        return call()
    except error as raised:
        message = str(raised)
    assert 0 < len(message) < longest
    assert "Traceback" not in message
    return None


def build(text: str) -> None:
    """Use a text as a space and as an architecture, up to the design of its first setting."""
    outcome(lambda: SearchSpace(read_yaml(text, "it")).bind((8, 8, 1), 3).design({}), SpaceError)
    outcome(lambda: Design.from_dict(read_yaml(text, "it")), SpaceError)


@examples(250)
@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=200))
def test_any_text_as_yaml(text):
    build(text)


@examples(350)
@given(st.sampled_from(SPACES), st.integers(0, 10_000), st.integers(0, 30), st.text(max_size=6))
def test_a_space_with_some_characters_replaced(text, start, length, replacement):
    start %= len(text)
    build(text[:start] + replacement + text[start + length :])


@examples(250)
@given(st.sampled_from(SPACES), st.data())
def test_a_space_with_a_value_replaced(text, data):
    content = read_yaml(text, "it")
    node, path = content, []
    while isinstance(node, dict) and node and (not path or data.draw(st.booleans())):
        path.append(data.draw(st.sampled_from(sorted(node))))
        node = node[path[-1]]
    parent = content
    for key in path[:-1]:
        parent = parent[key]
    parent[path[-1]] = data.draw(values)
    outcome(lambda: SearchSpace(content).bind((8, 8, 1), 3), SpaceError)
    outcome(lambda: Design.from_dict(content), SpaceError)


OPTIONS = sorted(SearchOptions.model_fields)
PLAN = json.loads(json.dumps(Plan.parse({"space": {}}).model_dump(mode="json")))


@examples(350)
@given(st.dictionaries(st.sampled_from([*OPTIONS, *PLAN, "other"]), values, max_size=5))
def test_options_and_plans(changes):
    outcome(lambda: SearchOptions.parse(changes).parsed_limits(), InputError)
    outcome(lambda: Plan.parse({**PLAN, **changes}).parsed_limits(), InputError)


ENCODED = [encode(trial(3)), encode(trial(1, state="failed", reason="x", values={}, epochs=0, curve=()))]


@examples(250)
@given(st.sampled_from(ENCODED), st.data())
def test_a_recorded_trial(text, data):
    content = json.loads(text)
    key = data.draw(st.sampled_from(sorted(content)))
    kind = data.draw(st.integers(0, 2))
    if kind == 0:
        changed = json.dumps({**content, key: data.draw(values)})
    elif kind == 1:
        changed = json.dumps({name: value for name, value in content.items() if name != key})
    else:
        start = data.draw(st.integers(0, len(text)))
        changed = text[:start] + data.draw(st.text(max_size=5)) + text[start + data.draw(st.integers(0, 9)) :]
    try:
        found = decode(changed)
    except ValueError:
        return
    assert decode(encode(found)) == found or any(value != value for value in found.values.values())


@examples(150)
@given(
    st.one_of(st.text(max_size=100), st.dictionaries(st.text(max_size=9), values, max_size=9).map(json.dumps))
)
def test_tags_and_tables(text):
    Holder.parse(text)
    with contextlib.suppress(KeyError, ValueError):
        list(read_table(text.splitlines()))


@examples(200)
@given(
    st.one_of(st.text(max_size=120), st.sampled_from(["..", "../..", "/", "a/b", "a\\b", "\0", ".", "CON"]))
)
def test_names(name):
    folder = outcome(lambda: spool_folder(name), InputError, longest=400)
    if folder is not None:
        assert folder.resolve().parent == Path("mlruns/spool").resolve()
        assert Spool(folder).entries() == []
    assert is_search_name(default_name(name))
    parse_trial_reference(name)


@examples(200)
@given(st.text(max_size=200))
def test_foreign_text(text):
    shown = printable(text)
    assert not any(ord(character) < 32 and character not in "\n\t" for character in shown)
    assert "\x7f" not in shown
    assert "://me:pw@" not in redacted(f"{text} http://me:pw@host")
