"""What MLflow's runs hold: a trial as parameters, metrics and tags, over-limit trials as a table."""

from __future__ import annotations

import csv
import io
import itertools
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nas.architecture import Training
from nas.record.mlflow_store import Store
from nas.record.spool import Entry, Point, decode, encode
from nas.space import Setting
from nas.trials import Trial

if TYPE_CHECKING:
    from mlflow.entities import DatasetInput, Metric, Run

__all__ = [
    "amend",
    "begin",
    "children",
    "config_of",
    "dataset_input",
    "metric",
    "metrics",
    "name_of",
    "params",
    "read_table",
    "searches",
    "split",
    "table",
    "tags",
    "together",
    "trial_of",
    "write",
]

TEXT = 500  # characters of a parameter's value or a reason that MLflow's pages show
CHUNK = 4900  # characters of a tag that every MLflow of the last years takes
PAGE = 1000  # runs in one answer
METRICS, PARAMS, TAGS = 800, 100, 100  # at most in one batch; MLflow's limits are 1000 in all, 100, 100


def split(key: str, text: str) -> dict[str, str]:
    """Write a text of any length as tags."""
    pieces = [text[start : start + CHUNK] for start in range(0, len(text), CHUNK)]
    return {f"{key}.parts": str(len(pieces)), **{f"{key}.{place}": p for place, p in enumerate(pieces)}}


def together(key: str, tags: Mapping[str, str]) -> str:
    """Read a text that `split` wrote, '' where there is none."""
    return "".join(tags[f"{key}.{place}"] for place in range(int(tags.get(f"{key}.parts", "0"))))


def tags(trial: Trial) -> dict[str, str]:
    """Give a trial's tags: what its page shows, and all of it, exactly, for the replay."""
    shown = {"number": str(trial.number), "state": trial.state, "architecture": trial.id}
    if trial.reason:
        shown["reason"] = trial.reason[:TEXT]
    return {**shown, **split("nas.trial", encode(trial))}


def params(setting: Setting, closed: Mapping[str, Any], training: Training) -> dict[str, str]:
    """Give a setting's values by their names, and a closed file's and the training's by their places."""
    found = {_key(name): str(value)[:TEXT] for name, value in setting.items()}
    found.update(_flat({key: value for key, value in closed.items() if key != "training"}, "architecture"))
    found.update(_flat(training.model_dump(mode="json"), "training"))
    return found


def _flat(value: Any, place: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flat(inner, f"{place}.{key}")
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        for number, inner in enumerate(value, start=1):
            yield from _flat(inner, f"{place}.{number}")
    elif value not in ("", None):
        yield place, str(value)[:TEXT]


def metrics(trial: Trial, known_epochs: int) -> Iterator[tuple[str, float, int]]:
    """Give name, value and epoch of the final values, of the curve after the known epochs, of the seconds."""
    for name, value in trial.values.items():
        yield _key(name), float(value), trial.epochs
    for epoch, values in enumerate(trial.curve[known_epochs:], start=known_epochs + 1):
        for name, value in values.items():
            if name == "epoch":
                continue  # it is the step
            yield f"epoch/{_key(name)}", float(value), epoch
    for name, value in trial.seconds.items():
        yield f"seconds/{_key(name)}", float(value), trial.epochs


def _key(name: str) -> str:
    """Replace what MLflow does not take in a name."""
    return re.sub(r"[^\w./: -]", "_", name)[:200]


def metric(point: Point) -> Metric:
    """Give a point as MLflow's object."""
    from mlflow.entities import Metric

    return Metric(point.name, float(point.value), point.time_ms, point.step)


def write(
    store: Store, run_id: str, entry: Entry, known_epochs: int | None, closed: Mapping[str, Any]
) -> None:
    """Write a trial's parameters, metrics and tags in as few batches as may be, the tags in the last.

    With known_epochs None the run is new, has its tags already, and gets what the closed file says.
    """
    from mlflow.entities import Metric, Param, RunTag

    trial, first = entry.trial, known_epochs is None
    found = [Metric(k, v, entry.time_ms, step) for k, v, step in metrics(trial, known_epochs or 0)]
    said = (
        [Param(key, value) for key, value in params(trial.setting, closed, trial.training).items()]
        if first
        else []
    )
    kept = [] if first else [RunTag(key, value) for key, value in tags(trial).items()]
    batches = list(itertools.zip_longest(_pieces(found, METRICS), _pieces(said, PARAMS), fillvalue=()))
    before, last = batches[:-1], batches[-1] if batches else ((), ())
    for some_metrics, some_params in before:
        store.client.log_batch(run_id, list(some_metrics), list(some_params))
    some_tags, *rest = [*_pieces(kept, TAGS)] or [()]
    store.client.log_batch(run_id, list(last[0]), list(last[1]), list(some_tags))  # in this order
    for more_tags in rest:
        store.client.log_batch(run_id, tags=list(more_tags))


def _pieces(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def begin(store: Store, name: str, config: Mapping[str, Any]) -> Run:
    """Make a search's run, with its config as tags and what is short of it as parameters."""
    from mlflow.entities import Param

    run = store.client.create_run(
        store.experiment_id,
        run_name=name,
        tags={
            "nas.kind": "search",
            "nas.name": name,
            "mlflow.source.name": "nas search",
            "mlflow.note.content": f"The front: artifacts front.html and front.csv, or `nas front {name}`.",
            **split("nas.config", json.dumps(config)),
        },
    )
    shown = {
        key: " ".join(map(str, v)) if isinstance(v, list | tuple) else str(v) for key, v in config.items()
    }
    short = [Param(_key(key), text) for key, text in shown.items() if text and len(text) <= TEXT]
    for some in _pieces(short, PARAMS):
        store.client.log_batch(run.info.run_id, params=list(some))
    return run


def amend(store: Store, run_id: str, config: Mapping[str, Any]) -> None:
    """Replace the config of a search's run, all of it at once."""
    from mlflow.entities import RunTag

    tags = [RunTag(key, value) for key, value in split("nas.config", json.dumps(config)).items()]
    store.client.log_batch(run_id, tags=tags)


def name_of(run: Run) -> str:
    """Give the name of a search's run."""
    return str(run.data.tags["nas.name"])


def config_of(run: Run) -> dict[str, Any]:
    """Give the config that a search's run began with."""
    config: dict[str, Any] = json.loads(together("nas.config", run.data.tags))
    return config


def searches(store: Store) -> list[Run]:
    """Give the runs of all searches, the latest first."""
    return list(_paged(store, "tags.`nas.kind` = 'search'", ["attributes.start_time DESC"]))


def children(store: Store, run_id: str) -> Iterator[Run]:
    """Give the runs of a search's trials."""
    return _paged(store, f"tags.`mlflow.parentRunId` = '{run_id}'", [])


def _paged(store: Store, which: str, order: list[str]) -> Iterator[Run]:
    token = None
    while token != "":
        page = store.client.search_runs(
            [store.experiment_id], which, max_results=PAGE, order_by=order, page_token=token
        )
        yield from page
        token = page.token or ""


def trial_of(run: Run) -> Trial:
    """Read a trial from its run; raises KeyError or ValueError for a run that is none."""
    return decode(together("nas.trial", run.data.tags), run.info.run_id)


def table(trials: Sequence[Trial]) -> str:
    """Write trials as CSV, a column for each value, the last with all of the trial, exactly."""
    names = list(dict.fromkeys(name for trial in trials for name in trial.values))
    out = io.StringIO()
    rows = csv.writer(out, lineterminator="\n")
    rows.writerow(["trial", "id", "reason", *names, "record"])
    for trial in trials:
        values = [trial.values.get(name, "") for name in names]
        rows.writerow([trial.number, trial.id, trial.reason, *values, encode(trial)])
    return out.getvalue()


def read_table(lines: Iterable[str]) -> list[Trial]:
    """Read the trials of a table that `table` wrote."""
    csv.field_size_limit(2**31 - 1)
    return [decode(row["record"]) for row in csv.DictReader(lines)]


def dataset_input(name: str, source: str, fingerprint: str) -> DatasetInput:
    """Give a data set as MLflow's input of a run."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    dataset = Dataset(name=name[:500], digest=fingerprint[:36], source_type="local", source=source)
    return DatasetInput(dataset=dataset, tags=[InputTag("mlflow.data.context", "training")])
