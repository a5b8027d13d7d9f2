"""Parts of a record that cannot be read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from nas.record.mlflow_search import MlflowSearch
from nas.record.mlflow_store import record_errors
from nas.record.spool import Spool

__all__ = ["Damage", "damage_notices", "list_damage"]

SHOWN = 5
"""Damaged parts of a record that a sentence lists."""


@dataclass(frozen=True)
class Damage:
    """A part of a record that cannot be read."""

    name: str
    why: str
    mark: Callable[[], None]

    def set_aside(self) -> None:
        """Mark the part, so that it is not read any more; raises RecordError."""
        with record_errors("written"):
            self.mark()


def list_damage(search: MlflowSearch, spool: Spool) -> list[Damage]:
    """Return what could not be read of a search, after its trials were read."""
    damage = [
        Damage(f"run {run_id}", why, partial(search.set_aside, run_id))
        for run_id, why in search.damaged_runs.items()
    ]
    damage += [
        Damage(f"file {path}", why, partial(search.delete_table, path))
        for path, why in search.damaged_tables.items()
    ]
    return damage + [
        Damage(f"'{path}'", why, partial(spool.set_aside, path)) for path, why in spool.damaged.items()
    ]


def damage_notices(name: str, damage: Sequence[Damage]) -> list[str]:
    """Return sentences for the user about the damage of a search, none without damage."""
    if not damage:
        return []
    listed = "; ".join(f"{part.name}: {part.why}" for part in damage[:SHOWN])
    more = f"; and {len(damage) - SHOWN} more" if len(damage) > SHOWN else ""
    parts = "1 damaged part" if len(damage) == 1 else f"{len(damage)} damaged parts"
    return [
        f"The record of '{name}' is read without {parts} ({listed}{more}); `nas doctor {name}` lists them."
    ]
