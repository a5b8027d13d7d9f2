"""Start, resume and open searches from Python."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from nas.api.found import Found
from nas.api.keywords import refuse_unknown_keywords
from nas.backends import Precision
from nas.data import save_python_data
from nas.errors import NasWarning
from nas.executors import worker_count
from nas.record import SearchRecord
from nas.searching import (
    Plan,
    Result,
    SearchOptions,
    Status,
    prepare_search,
    resume_search,
)
from nas.training import is_training_folder, read_finished_training

__all__ = ["Found", "data_source", "find", "resume", "search"]

DATA_FOLDER = Path("mlruns/data")
"""Where examples that are passed as arrays or data sets are saved."""


def data_source(data: Any) -> str:
    """Return the name or path of data; examples are saved, see `nas.search`. Raises DataError."""
    return str(data if isinstance(data, str | os.PathLike) else save_python_data(data, DATA_FOLDER))


def _names(names: Sequence[str]) -> tuple[str, ...]:
    """Return names that are given as a list, or as one text with commas."""
    return tuple(filter(None, map(str.strip, names.split(",")))) if isinstance(names, str) else tuple(names)


def _show_nothing(_: Status) -> None:
    """Do not display the status."""


@refuse_unknown_keywords
def search(
    space: str | Path | Mapping[str, Any],
    *,
    data: Any = "digits",
    image_size: int | None = None,
    train_limit: int | None = None,
    validation: float = 0.2,
    split_seed: int = 0,
    labels: Literal["auto", "classes", "multi_label", "numbers", "masks"] = "auto",
    label_column: Sequence[str] = (),
    label_from: str = "",
    axes: Literal["auto", "channels_last", "channels_first"] = "auto",
    ignore_label: int | None = None,
    drop_duplicates: bool = False,
    strict: bool = False,
    mask_colors: tuple[str, ...] = (),
    background: str = "white",
    objectives: Sequence[str] = (),
    limits: Mapping[str, float] | None = None,
    min_quality: float | None = None,
    trials: int | None = None,
    seconds: float | None = None,
    flat: float | None = None,
    epochs: int | None = None,
    min_epochs: int | None = None,
    reduction: int = 3,
    halving: bool = True,
    repeats: int = 1,
    folds: int = 1,
    front_seeds: int = 2,
    trial_seconds: float | None = None,
    keep_weights: bool = False,
    engine: Literal["cheap-aware", "optuna", "keras-tuner"] = "cheap-aware",
    sampler: str = "",
    start_from: Sequence[str] = (),
    start_from_search: Sequence[str] = (),
    seed: int = 0,
    deterministic: bool = False,
    precision: Precision = "float32",
    latency_threads: int = 1,
    runtime: Literal["litert", "onnx"] = "litert",
    name: str | None = None,
    workers: int | None = None,
    show: Callable[[Status], None] = _show_nothing,
    progress: Callable[[str], None] | None = None,
) -> Result:
    """Search a space and record every trial, as `nas search` does.

    Parameters:

    - space: name of a shipped space, a YAML file, or the content of such a file.
    - data: name of a data set, a file or a folder; or examples: a pair of arrays `(x, y)`, a
    `tf.data.Dataset` or a Keras `PyDataset` of such pairs, or two of these (training, test) or three
    (training, validation, test). Examples are saved in `mlruns/data`, named by their content, so that the
    search can be resumed.
    - image_size: side in pixels to which every image is resized; None keeps the size.
    - train_limit: greatest number of training examples, stratified by class.
    - validation: share of the training examples that is taken for validation if the data has no such split.
    - split_seed: seed by which examples are taken for validation and for `train_limit`.
    - labels: kind of the labels; "auto": inferred from the data.
    - label_column: columns of a table that hold the labels; empty: `label`, or the only one that may.
    - label_from: regular expression whose first group is the label in the path of an image.
    - axes: order of the axes of arrays; "auto": inferred from their shape.
    - ignore_label: segmentation: the label that neither the loss nor the score counts.
    - drop_duplicates: keep one of equal image files or rows of arrays, in the test split if one is there.
    - strict: stop at the first unreadable file; otherwise up to 1 % of the files are skipped.
    - mask_colors: segmentation: the colours of masks, as "#rrggbb" or names, in the order of their labels.
    - background: the colour below the transparent pixels of images.
    - objectives: for example `("accuracy", "params")`; empty: the quality of the data, params and latency.
    - limits: greatest allowed values, for example `{"params": 20000, "latency_ms": 0.5}`.
    - min_quality: the front has no network of less quality; None: derived from the best network so far.
    - trials: number of candidates to train; None: 50, or without limit if `seconds` is given.
    - seconds: time limit of the search.
    - flat: end when one more trial is expected to add less than this share of the hypervolume.
    - epochs: full length of a trial; None: 27, or 9 from 10,000 training examples on.
    - min_epochs: epochs of the first rung; None: `epochs / reduction**2`.
    - reduction: promote 1 in N trials of similar cost; front members are always promoted.
    - halving: stop the worse trials early; False trains each trial in full.
    - repeats: number of seeds that each network is trained with; the mean counts.
    - folds: number of folds of cross-validation: a trial is trained once for each, and the mean counts.
    - front_seeds: number of seeds that each front member is trained with at the end; the mean counts.
    - trial_seconds: a trial that takes longer has failed.
    - keep_weights: keep the weights of every trial, not only of those that may be on the front.
    - engine, sampler: what proposes settings; `""` is the first sampler of the engine.
    - start_from: networks to try first, as shipped names, files or NAME:TRIAL.
    - start_from_search: names of earlier searches whose trials the model of `cheap-aware` learns from.
    - seed: of the sampler and the training.
    - deterministic: let no decision depend on time: equal options give equal trials for any `workers`.
    - precision, latency_threads, runtime: of the file whose latency and size are measured. With a lower
    precision, the qualities of a trial that is trained in full are those of its file.
    - name: name of the search; None: the name of the space and the time.
    - workers: number of processes that train; None: one per core; 0: this process. With more than 0, call
    this under `if __name__ == "__main__":`, because worker processes import the calling script.
    - show: receives the status whenever it changes.
    - progress: receives lines about what was understood of the data, and one before each step of the
    preparation that takes long.

    Raises NasError, whose message is one sentence with the rule, the value and the fix. Warns if trials
    could not be delivered to MLflow; they are in `mlruns/spool`.

    Example:

    ```python
    result = nas.search("xception_like", trials=2, epochs=3, objectives=("accuracy", "params"), workers=0)
    print([trial.values["params"] for trial in result.front])
    ```
    """
    options = SearchOptions.parse(
        {
            "data": data_source(data),
            "image_size": image_size,
            "train_limit": train_limit,
            "validation": validation,
            "split_seed": split_seed,
            "labels": labels,
            "label_column": tuple(label_column),
            "label_from": label_from,
            "axes": axes,
            "ignore_label": ignore_label,
            "drop_duplicates": drop_duplicates,
            "strict": strict,
            "mask_colors": mask_colors,
            "background": background,
            "objectives": _names(objectives),
            "limits": dict(limits or {}),
            "min_quality": min_quality,
            "trials": trials,
            "seconds": seconds,
            "flat": flat,
            "epochs": epochs,
            "min_epochs": min_epochs,
            "reduction": reduction,
            "halving": halving,
            "repeats": repeats,
            "folds": folds,
            "front_seeds": front_seeds,
            "trial_seconds": trial_seconds,
            "keep_weights": keep_weights,
            "engine": engine,
            "sampler": sampler,
            "start_from_search": _names(start_from_search),
            "seed": seed,
            "deterministic": deterministic,
            "precision": precision,
            "latency_threads": latency_threads,
            "runtime": runtime,
        }
    )
    session = prepare_search(
        space, options, name, start_from, workers=worker_count(workers), progress=progress
    )
    return _warned(session.run(show))


@refuse_unknown_keywords
def resume(
    name: str | None = None,
    *,
    trials: int | None = None,
    seconds: float | None = None,
    flat: float | None = None,
    min_quality: float | None = None,
    front_seeds: int | None = None,
    trial_seconds: float | None = None,
    keep_weights: bool | None = None,
    retry_failed: bool = False,
    workers: int | None = None,
    show: Callable[[Status], None] = _show_nothing,
) -> Result:
    """Resume a search, the latest by default, as `nas search --resume` does.

    trials, seconds and flat replace the budget of the search; `trials` is the total number, `seconds` the
    time from now on. min_quality replaces the quality floor. retry_failed trains the failed trials again,
    before any new one. For the others see `nas.search`; the rest of the plan stays. Raises NasError.
    """
    changes = {
        "trials": trials,
        "seconds": seconds,
        "flat": flat,
        "min_quality": min_quality,
        "front_seeds": front_seeds,
        "trial_seconds": trial_seconds,
        "keep_weights": keep_weights,
    }
    given = {key: value for key, value in changes.items() if value is not None}
    session = resume_search(name, given, workers=worker_count(workers), retry_failed=retry_failed)
    return _warned(session.run(show))


def _warned(result: Result) -> Result:
    """Warn of trials that could not be delivered to MLflow."""
    if notice := result.status.delivery_notice:
        warnings.warn(f"{notice} `nas sync {result.name}` delivers them.", NasWarning, stacklevel=3)
    return result


def find(name: str | None = None) -> Found:
    """Open the record of a search to read it, the latest by default, or a training that has ended.

    name: of a search; a path with a slash, such as "trained/mine", is the folder of a training.

    Warns of trials that are damaged and left out. Raises InputError for an unknown name, RecordError if the
    record cannot be read.
    """
    if name is not None and is_training_folder(name):
        training = read_finished_training(Path(name))
        return Found(training, training.plan, (training.trial,), training.checkpoint.parent)
    record = SearchRecord.open(name)
    trials = tuple(trial for trial in record.trials() if trial.state != "over_limit")
    for notice in record.notices:
        warnings.warn(notice, NasWarning, stacklevel=2)
    return Found(record, Plan.parse(record.config), trials)
