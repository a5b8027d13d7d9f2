"""The content of MLflow's runs: trials as parameters, metrics and tags; over-limit trials as a table."""

from __future__ import annotations

import csv
import io
import itertools
import json
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from nas.architecture import Training
from nas.errors import NasWarning, RecordError
from nas.record.mlflow_store import Store
from nas.record.spool import Entry, Point
from nas.record.trial_text import decode, encode
from nas.space import Setting
from nas.text import redacted, shortened
from nas.trials import Trial

if TYPE_CHECKING:
    from mlflow.entities import DatasetInput, Metric, Run

__all__ = [
    "MAX_METRICS",
    "MAX_PARAMS",
    "MAX_TEXT",
    "NAME_RULE",
    "DataSource",
    "config_from_run",
    "create_search_run",
    "dataset_input",
    "first_run_of",
    "is_search_name",
    "named_searches",
    "read_table",
    "replace_config",
    "run_params",
    "search_name",
    "search_runs",
    "table_csv",
    "to_metric",
    "trial_from_run",
    "trial_runs",
    "trial_tags",
    "write_trial_run",
]

MAX_TEXT = 500  # characters of a parameter's value or a reason on MLflow's pages
TAG_PART = 4900  # characters of a tag that every recent version of MLflow accepts
NAME_RULE = "a search's name must consist of at most 100 letters, digits, '.', '_' and '-'"
PAGE = 1000  # runs per answer
MAX_METRICS, MAX_PARAMS, MAX_TAGS = 800, 100, 100  # per batch; MLflow's limits are 1000 in all, 100, 100


def _split_text(key: str, text: str) -> dict[str, str]:
    """Store a text of any length as tags."""
    parts = [text[start : start + TAG_PART] for start in range(0, len(text), TAG_PART)]
    return {f"{key}.parts": str(len(parts)), **{f"{key}.{n}": part for n, part in enumerate(parts)}}


def _joined_text(key: str, tags: Mapping[str, str]) -> str:
    """Return a text that `_split_text` stored, '' if there is none."""
    return "".join(tags[f"{key}.{n}"] for n in range(int(tags.get(f"{key}.parts", "0"))))


def trial_tags(trial: Trial) -> dict[str, str]:
    """Return a trial's tags: what its page shows, and the exact trial for the replay."""
    shown = {"number": str(trial.number), "state": trial.state, "architecture": trial.id}
    if trial.reason:
        shown["reason"] = trial.reason[:MAX_TEXT]
    return {**shown, **_split_text("nas.trial", encode(trial))}


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


def _metrics(trial: Trial, written_epochs: int) -> Iterator[tuple[str, float, int]]:
    """Yield name, value and epoch of the final values, the new part of the curve, and the seconds."""
    for name, value in trial.values.items():
        yield _valid_key(name), float(value), trial.epochs
    for epoch, values in enumerate(trial.curve[written_epochs:], start=written_epochs + 1):
        for name, value in values.items():
            if name == "epoch":
                continue  # it is the step
            yield f"epoch/{_valid_key(name)}", float(value), epoch
    for name, value in trial.seconds.items():
        yield f"seconds/{_valid_key(name)}", float(value), trial.epochs


def _valid_key(name: str) -> str:
    """Replace characters that MLflow does not accept in a name."""
    return re.sub(r"[^\w./: -]", "_", name)[:200]


def to_metric(point: Point) -> Metric:
    """Convert a point to MLflow's metric."""
    from mlflow.entities import Metric

    return Metric(point.name, float(point.value), point.time_ms, point.step)


def write_trial_run(
    store: Store, run_id: str, entry: Entry, written_epochs: int | None, closed: Mapping[str, Any]
) -> None:
    """Write a trial's parameters, metrics and tags in as few batches as possible, the tags in the last.

    written_epochs: epochs whose metrics the run has; None for a new run, which has its tags already and gets
    the values of the closed file as parameters.
    """
    from mlflow.entities import Metric, Param, RunTag

    trial, is_new = entry.trial, written_epochs is None
    metrics = [Metric(k, v, entry.time_ms, step) for k, v, step in _metrics(trial, written_epochs or 0)]
    params = (
        [Param(key, value) for key, value in run_params(trial.setting, closed, trial.training).items()]
        if is_new
        else []
    )
    tags = [] if is_new else [RunTag(key, value) for key, value in trial_tags(trial).items()]
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
            "mlflow.note.content": f"The front: artifacts front.html and front.csv, or `nas front {name}`.",
            **_split_text("nas.config", json.dumps(config)),
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

    tags = [RunTag(key, value) for key, value in _split_text("nas.config", json.dumps(config)).items()]
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
        config = json.loads(_joined_text("nas.config", run.data.tags))
    except (KeyError, ValueError, RecursionError):
        config = None
    if not isinstance(config, dict):
        raise RecordError(
            f"a search's run must have its plan in the tags nas.config, but those of run {run.info.run_id} "
            "are damaged; restore a copy of the database, or delete the run in MLflow"
        )
    return config


def search_runs(store: Store) -> list[Run]:
    """Return the runs of all searches, the latest first."""
    return list(_paged(store, "tags.`nas.kind` = 'search'", ["attributes.start_time DESC"]))


def first_run_of(store: Store, name: str) -> str:
    """Return the id of the first run of the searches of this name."""
    named = [run for found, run in named_searches(store) if found == name]
    return str(min(named, key=lambda run: (run.info.start_time, run.info.run_id)).info.run_id)


def trial_runs(store: Store, run_id: str) -> Iterator[Run]:
    """Yield the runs of a search's trials."""
    return _paged(store, f"tags.`mlflow.parentRunId` = '{run_id}'", [])


def _paged(store: Store, query: str, order: list[str]) -> Iterator[Run]:
    token = None
    while token != "":
        page = store.client.search_runs(
            [store.experiment_id], query, max_results=PAGE, order_by=order, page_token=token
        )
        yield from page
        token = page.token or ""


def trial_from_run(run: Run) -> Trial:
    """Return the trial of a run; raises KeyError or ValueError for any other run."""
    return decode(_joined_text("nas.trial", run.data.tags), run.info.run_id, int(run.info.end_time or 0))


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


class DataSource(Protocol):
    """What the record stores of a data set."""

    @property
    def name(self) -> str:
        """The name that the user gave."""
        ...

    @property
    def source(self) -> str:
        """Where it comes from."""
        ...

    @property
    def fingerprint(self) -> str:
        """A hash of the content."""
        ...


def dataset_input(data: DataSource) -> DatasetInput:
    """Return a data set as MLflow's input of a run."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    source = redacted(data.source)
    dataset = Dataset(data.name[:500], data.fingerprint[:36], source_type="local", source=source)
    return DatasetInput(dataset=dataset, tags=[InputTag("mlflow.data.context", "training")])
