"""Texts of any length in the tags of a run."""

from __future__ import annotations

import random
import string

import pytest

from nas.record.packed_text import TAG_PART, is_packed, pack_text, unpack_text


@pytest.mark.parametrize("length", [0, 1, 100, 5_000, 60_000])
@pytest.mark.parametrize("alphabet", ["a", string.printable, "äø語🙂"])
def test_texts_are_restored(length: int, alphabet: str) -> None:
    text = "".join(random.Random(length).choices(alphabet, k=length))
    tags = pack_text("key", text)
    assert unpack_text("key", {"other": "x", **tags}) == text
    assert all(len(value) <= TAG_PART + 3 for value in tags.values())
    assert all(key.startswith("mlflow.") for key in tags)  # which hides them on MLflow's pages
    assert is_packed("key", tags)


def test_parts_of_a_longer_earlier_text_do_not_count() -> None:
    noise = "".join(random.Random(0).choices(string.printable, k=30_000))
    tags = {**pack_text("key", noise), **pack_text("key", "short")}
    assert len(tags) > 1
    assert unpack_text("key", tags) == "short"


def test_a_text_that_is_absent_is_empty() -> None:
    assert unpack_text("key", {}) == ""
    assert not is_packed("key", {"key.parts": "1", "key.0": "x"})
    assert unpack_text("key", {"key.parts": "2", "key.0": "x", "key.1": "y"}) == "xy"
