"""References to trials as text: NAME:TRIAL, or :TRIAL of the latest search."""

from __future__ import annotations

import re
from pathlib import Path

from nas.errors import InputError
from nas.record.search_record import SearchRecord
from nas.trials import Trial

__all__ = ["parse_trial_reference", "recorded_trial"]


def parse_trial_reference(text: str) -> tuple[str | None, int] | None:
    """Return the name of the search (None: the latest) and the number of the trial.

    Returns None if the text is not a reference, or the name of an existing file.
    """
    match = re.fullmatch(r"(\w[\w.-]*)?:(\d+)", text)
    return (match[1], int(match[2])) if match and not Path(text).exists() else None


def recorded_trial(record: SearchRecord, number: int) -> Trial:
    """Return a trial of a search by its number; raises InputError if there is none."""
    trials = {trial.number: trial for trial in record.trials() if trial.architecture is not None}
    if number not in trials:
        existing = f"its trials are 0 to {max(trials)}" if trials else "it has no trials yet"
        raise InputError(
            f"search '{record.name}' has no trial {number}; {existing}, "
            f"list them with nas front {record.name} --all"
        )
    return trials[number]
