"""Text from outside, as it may be shown."""

from __future__ import annotations

import pytest

from nas.errors import nearest
from nas.text import printable, redacted, shortened


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain [/b] :smile: äß\n\tnext", "plain [/b] :smile: äß\n\tnext"),
        ("\x1b[2Jgone\x07\r", r"\x1b[2Jgone\x07\r"),
        ("\u202eexe.gpj", r"\u202eexe.gpj"),
        ("\x9b31m", r"\x9b31m"),
    ],
)
def test_control_characters_are_escaped(text, shown):
    assert printable(text) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://me:secret@host:5000/x", "http://host:5000/x"),
        ("at postgresql://me:se@cret@db/nas: no", "at postgresql://db/nas: no"),
        ("https://token@host and http://a:b@c", "https://host and http://c"),
        ("https://host/x?user=me&access_token=abc&page=2", "https://host/x?user=me&access_token=***&page=2"),
        ("https://host/x?sslPassword=abc", "https://host/x?sslPassword=***"),
        ("sqlite:////home/me@work/mlflow.db", "sqlite:////home/me@work/mlflow.db"),
        ("postgresql://u:pa/ss@h/db", "postgresql://h/db"),
        ("postgresql://u:pa'ss@h/db", "postgresql://h/db"),
        ("http://host:5000/a@b", "http://host:5000/a@b"),
        ("http://host:5000/x?user=a@b", "http://host:5000/x?user=a@b"),
        ("mail me@host, see http://host", "mail me@host, see http://host"),
    ],
)
def test_addresses_are_shown_without_credentials(text, shown):
    assert redacted(text) == shown


def test_credentials_of_the_environment_are_not_shown(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "hunter22")
    assert redacted("401 for me:hunter22") == "401 for me:***"


def test_a_value_is_repeated_in_part():
    assert shortened("abc") == "abc"
    assert shortened("x" * 10_000, 10) == "x" * 9 + "…"
    assert len(nearest("y" * 10_000, [f"{n}" * 200 for n in range(1000)])) < 4000
