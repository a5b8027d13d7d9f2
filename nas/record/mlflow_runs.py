"""The content of MLflow's runs: trials as parameters, metrics and tags; over-limit trials as a table."""

from __future__ import annotations

import csv
import io
import itertools
import json
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nas.architecture import Training
from nas.errors import InputError, NasWarning, RecordError
from nas.record.mlflow_store import Store
from nas.record.packed_text import is_packed, pack_text, unpack_text
from nas.record.spool import Entry, Point
from nas.record.trial_text import decode, encode
from nas.space import Setting
from nas.text import shortened
from nas.trials import OBJECTIVES, Objective, Trial, parse_objectives

if TYPE_CHECKING:
    from mlflow.entities import Metric, Run

__all__ = [
    "MAX_METRICS",
    "MAX_PARAMS",
    "MAX_TEXT",
    "NAME_RULE",
    "config_from_run",
    "create_search_run",
    "curve_metric",
    "first_quality",
    "first_run_of",
    "has_present_names",
    "is_search_name",
    "named_searches",
    "paged_runs",
    "read_table",
    "replace_config",
    "run_params",
    "search_name",
    "search_runs",
    "table_csv",
    "to_metric",
    "trial_from_tags",
    "trial_tags",
    "value_metric",
    "write_trial_run",
]

MAX_TEXT = 500  # characters of a parameter's value or a reason on MLflow's pages
NAME_RULE = "a search's name must consist of at most 100 letters, digits, '.', '_' and '-'"
PAGE = 1000  # runs per answer
MAX_METRICS, MAX_PARAMS, MAX_TAGS = 800, 100, 100  # per batch; MLflow's limits are 1000 in all, 100, 100


QUALITIES = {objective.name: objective.in_curve for objective in OBJECTIVES.values() if objective.trained}
"""The metric of a quality on the validation split: with `val_`, as Keras names it in a learning curve."""

PLAN, TRIAL = "nas.config", "nas.trial"  # the keys of what a replay reads


def trial_tags(trial: Trial) -> dict[str, str]:
    """Return a trial's tags: a few that MLflow's pages show, and out of sight the exact trial."""
    shown = {"state": trial.state, "id": trial.id, "epochs": str(trial.epochs)}
    if trial.reason:
        shown["reason"] = trial.reason[:MAX_TEXT]
    return {**shown, **pack_text(TRIAL, encode(trial))}


def first_quality(config: Mapping[str, Any]) -> Objective | None:
    """Return the first quality among the objectives of a plan, None if they cannot be read."""
    try:
        objectives = parse_objectives(config.get("objectives") or ())
    except (InputError, TypeError):
        return None
    return next(objective for objective in objectives if objective.trained)


def run_params(setting: Setting, closed: Mapping[str, Any], training: Training) -> dict[str, str]:
    """Return the parameters of a run: the setting, the values of a closed file, the training."""
    params = {_valid_key(name): str(value)[:MAX_TEXT] for name, value in setting.items()}
    params.update(_flat({key: value for key, value in closed.items() if key != "training"}, "architecture"))
    params.update(_flat(training.model_dump(mode="json"), "training"))
    return params


def _flat(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flat(inner, f"{path}.{key}")
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        for number, inner in enumerate(value, start=1):
            yield from _flat(inner, f"{path}.{number}")
    elif value not in ("", None):
        yield path, str(value)[:MAX_TEXT]


def value_metric(name: str) -> str:
    """Return the metric of a value of a trial: qualities on the validation split get `val_`."""
    base, error, kind = name.rpartition("_")
    if error and kind in ("se", "std"):
        return _valid_key(f"{QUALITIES.get(base, base)}_{kind}")
    return _valid_key(QUALITIES.get(name, name))


def curve_metric(name: str) -> str:
    """Return the metric of a column of a learning curve: its name, and `seconds_epoch` for the seconds."""
    return "seconds_epoch" if name == "seconds" else _valid_key(name)


def _metrics(entry: Entry, written_epochs: int) -> Iterator[tuple[str, float, int, int]]:
    """Yield name, value, time and epoch of the new part of the curve, the final values, and the seconds.

    MLflow shows the last value of a metric: that of the last epoch and, in it, of the latest time. A final
    value is a mean over training runs, so it is written after that of the curve, if it is another one.
    """
    trial, time_ms = entry.trial, entry.time_ms
    last: dict[str, float] = {}
    for epoch, values in enumerate(trial.curve, start=1):
        last = {curve_metric(name): float(value) for name, value in values.items() if name != "epoch"}
        if epoch > written_epochs:
            for name, value in last.items():
                yield name, value, time_ms, epoch
    for name, value in trial.values.items():
        if last.get(value_metric(name)) != float(value) or len(trial.curve) != trial.epochs:
            yield value_metric(name), float(value), time_ms + 1, trial.epochs
    for name, value in trial.seconds.items():
        yield f"seconds_{_valid_key(name)}", float(value), time_ms, trial.epochs


def _valid_key(name: str) -> str:
    """Replace characters that MLflow does not accept in a name."""
    return re.sub(r"[^\w./: -]", "_", name)[:200]


def to_metric(point: Point) -> Metric:
    """Convert a point to MLflow's metric."""
    from mlflow.entities import Metric

    return Metric(point.name, float(point.value), point.time_ms, point.step)


def write_trial_run(
    store: Store,
    run_id: str,
    entry: Entry,
    written_epochs: int | None,
    closed: Mapping[str, Any],
    label: str,
) -> None:
    """Write a trial's parameters, metrics and tags in as few batches as possible, the tags in the last.

    written_epochs: epochs whose metrics the run has; None for a new run, which has its name and its tags
    already and gets the values of the closed file as parameters.
    """
    from mlflow.entities import Metric, Param, RunTag

    trial, is_new = entry.trial, written_epochs is None
    metrics = [Metric(*fields) for fields in _metrics(entry, written_epochs or 0)]
    params = (
        [Param(key, value) for key, value in run_params(trial.setting, closed, trial.training).items()]
        if is_new
        else []
    )
    changed = {} if is_new else {"mlflow.runName": label, **trial_tags(trial)}
    tags = [RunTag(key, value) for key, value in changed.items()]
    batches = list(
        itertools.zip_longest(_batches(metrics, MAX_METRICS), _batches(params, MAX_PARAMS), fillvalue=())
    )
    before, last = batches[:-1], batches[-1] if batches else ((), ())
    for some_metrics, some_params in before:
        store.client.log_batch(run_id, list(some_metrics), list(some_params))
    some_tags, *rest = [*_batches(tags, MAX_TAGS)] or [()]
    store.client.log_batch(run_id, list(last[0]), list(last[1]), list(some_tags))  # in this order
    for more_tags in rest:
        store.client.log_batch(run_id, tags=list(more_tags))


def _batches(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def create_search_run(store: Store, name: str, config: Mapping[str, Any]) -> Run:
    """Create a search's run, with its config as tags and its short values as parameters."""
    from mlflow.entities import Param

    run = store.client.create_run(
        store.experiment_id,
        run_name=name,
        tags={
            "nas.kind": "search",
            "nas.name": name,
            "mlflow.source.name": "nas search",
            **pack_text(PLAN, json.dumps(config)),
        },
    )
    texts = {
        key: " ".join(map(str, v)) if isinstance(v, list | tuple) else str(v) for key, v in config.items()
    }
    short = [Param(_valid_key(key), text) for key, text in texts.items() if text and len(text) <= MAX_TEXT]
    for some in _batches(short, MAX_PARAMS):
        store.client.log_batch(run.info.run_id, params=list(some))
    return run


def replace_config(store: Store, run_id: str, config: Mapping[str, Any]) -> None:
    """Replace the config of a search's run in one batch."""
    from mlflow.entities import RunTag

    tags = [RunTag(key, value) for key, value in pack_text(PLAN, json.dumps(config)).items()]
    store.client.log_batch(run_id, tags=tags)


def is_search_name(name: str) -> bool:
    """Return whether a text may be the name of a search, and so of a folder."""
    return re.fullmatch(r"\w[\w.-]{0,99}", name, re.ASCII) is not None


def search_name(run: Run) -> str:
    """Return the name of a search's run; raises RecordError if it is none."""
    name = str(run.data.tags.get("nas.name", ""))
    if not is_search_name(name):
        raise RecordError(
            f"{NAME_RULE}, got {shortened(name)!r} in the tag nas.name of run {run.info.run_id}; correct it"
        )
    return name


def named_searches(store: Store) -> list[tuple[str, Run]]:
    """Return the name and the run of each search, the latest first; warns of those without a valid name."""
    named = []
    for run in search_runs(store):
        try:
            named.append((search_name(run), run))
        except RecordError as error:
            warnings.warn(f"A run is left out: {error}.", NasWarning, stacklevel=2)
    return named


def config_from_run(run: Run) -> dict[str, Any]:
    """Return the config of a search's run; raises RecordError if it is damaged."""
    try:
        config = json.loads(unpack_text(PLAN, run.data.tags))
    except (KeyError, ValueError, RecursionError):
        config = None
    if not isinstance(config, dict):
        raise RecordError(
            f"a search's run must have its plan in hidden tags ({PLAN}), but those of run {run.info.run_id} "
            "are damaged; restore a copy of the database, or delete the run in MLflow"
        )
    return config


def search_runs(store: Store) -> list[Run]:
    """Return the runs of all searches, the latest first."""
    return list(paged_runs(store, "tags.`nas.kind` = 'search'", ["attributes.start_time DESC"]))


def first_run_of(store: Store, name: str) -> str:
    """Return the id of the first run of the searches of this name."""
    named = [run for found, run in named_searches(store) if found == name]
    return str(min(named, key=lambda run: (run.info.start_time, run.info.run_id)).info.run_id)


def paged_runs(store: Store, query: str, order: list[str]) -> Iterator[Run]:
    """Yield the runs that a query of MLflow finds, with all their data."""
    token = None
    while token != "":
        page = store.client.search_runs(
            [store.experiment_id], query, max_results=PAGE, order_by=order, page_token=token
        )
        yield from page
        token = page.token or ""


def trial_from_tags(tags: Mapping[str, str], run_id: str, ended_ms: int) -> Trial:
    """Return the trial of a run; raises KeyError or ValueError if its tags are of no trial."""
    return decode(unpack_text(TRIAL, tags), run_id, ended_ms)


def has_present_names(tags: Mapping[str, str]) -> bool:
    """Return whether the metrics of a trial's run have their present names; version 0.1 gave them others."""
    return is_packed(TRIAL, tags)


def table_csv(trials: Sequence[Trial]) -> str:
    """Return trials as CSV with a column per value; the last column has the exact trial."""
    names = list(dict.fromkeys(name for trial in trials for name in trial.values))
    out = io.StringIO()
    rows = csv.writer(out, lineterminator="\n")
    rows.writerow(["trial", "id", "reason", *names, "record"])
    for trial in trials:
        values = [trial.values.get(name, "") for name in names]
        rows.writerow([trial.number, trial.id, trial.reason, *values, encode(trial)])
    return out.getvalue()


def read_table(lines: Iterable[str]) -> list[Trial]:
    """Return the trials of a table that `table_csv` wrote."""
    csv.field_size_limit(2**31 - 1)
    return [decode(row["record"]) for row in csv.DictReader(lines)]
