"""One network at full length: epoch by epoch, resumable at any moment, judged once on the test split."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from nas.architecture import Design, network_cost
from nas.data import Dataset
from nas.errors import DataError, InputError, nearest
from nas.evaluation import Job, evaluate, load_tensorflow, read_state, score_test_split, write_state
from nas.export import FORMATS, ExportOptions, export_files
from nas.record import TrainingRecord, TrainingRun
from nas.training.folder import TrainingFolder
from nas.training.starting_weights import starting_state

__all__ = ["Progress", "TrainOptions", "Trained", "train_network"]


@dataclass(frozen=True)
class TrainOptions:
    """How a network is trained; raises InputError for an impossible value."""

    out: Path  # the training's own folder
    epochs: int = 30
    patience: int | None = None  # stop after so many epochs without a better validation; None: never
    seed: int = 0
    weights: str = ""  # a .npz, .weights.h5, .keras, a training's folder or NAME:TRIAL; '': fresh
    fine_tune: bool = False  # batch normalization as it is, at inference
    formats: tuple[str, ...] = ("keras", "python")

    def __post_init__(self) -> None:
        for name in ("epochs", "patience"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(f"{name} must be at least 1, got {value}; leave it out for the default")
        if self.seed < 0:
            raise InputError(f"seed must be 0 or more, got {self.seed}; use for example 0")
        for name in self.formats:
            if name not in FORMATS:
                raise InputError(f"a format must be known, got '{name}'; {nearest(name, FORMATS)}")
        if self.fine_tune and not self.weights:
            raise InputError("--fine-tune needs weights to begin with, got none; add --from WEIGHTS")


@dataclass(frozen=True)
class Progress:
    """Where a training stands, after each epoch and once before the first."""

    epochs: int  # to be trained in all
    curve: tuple[
        Mapping[str, float], ...
    ]  # a row for each epoch: epoch, loss, accuracy, val_loss, ..., seconds
    start: Mapping[str, float]  # of the starting weights: accuracy or mean_iou, val_loss
    best: int  # the epoch with the best weights, 0 for the starting ones
    quality: str  # accuracy | mean_iou
    fresh_head: bool = False  # the last layer began with fresh weights, those given are for other classes
    problem: str = ""  # why MLflow does not take the curve at the moment


@dataclass(frozen=True)
class Trained:
    """What came of a training."""

    progress: Progress
    stopped_early: bool
    values: Mapping[
        str, float
    ]  # on the validation split with the best weights, and params, flops, peak_bytes
    test: Mapping[
        str, float
    ]  # test_accuracy, test_loss, for segmentation test_mean_iou: with the best weights
    files: Mapping[str, Path]  # by format
    folder: Path
    run_id: str  # MLflow's
    link: str  # of the run's page


def _silent(_: Progress) -> None:
    """Show nothing."""


def train_network(
    design: Design,
    dataset: Dataset,
    options: TrainOptions,
    show: Callable[[Progress], None] = _silent,
    name: str = "network",
) -> Trained:
    """Train a design in this process, or go on where an earlier call with the same folder stopped.

    Keeps the weights that are best on the validation split, judges them once on the test split and
    writes them in the formats asked for. A training that has ended is not trained again. Raises InputError
    where the folder holds anything else, EvaluationError where the loss is not finite any more;
    KeyboardInterrupt leaves the folder ready to go on.
    """
    if dataset.test is None:
        raise DataError(
            f"a data set must have a test split, got '{dataset.name}' without; add x_test and y_test"
        )
    formats = ExportOptions(options.formats)
    _use_all_cores()
    folder = TrainingFolder.open(options.out, _asked(design, dataset, options))
    try:
        training = _Training(design, dataset, options, folder, show)
        training.begin(name)
        return training.run(formats)
    finally:
        folder.close()


def _use_all_cores() -> None:
    """Load TensorFlow, if it is not loaded yet, with a thread for each core; a search's workers take one."""
    cores = str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    own = [name for name in ("TF_NUM_INTRAOP_THREADS", "OMP_NUM_THREADS") if name not in os.environ]
    os.environ.update(dict.fromkeys(own, cores))
    load_tensorflow()
    for name in own:  # worker processes that are started later are not to inherit it
        del os.environ[name]


def _asked(design: Design, dataset: Dataset, options: TrainOptions) -> dict[str, Any]:
    """Give what makes two trainings the same one."""
    return {
        "architecture": design.architecture.to_dict(),
        "training": design.training.model_dump(mode="json"),
        "data": f"{dataset.name} {dataset.fingerprint}",
        "epochs": options.epochs,
        "patience": options.patience,
        "seed": options.seed,
        "from": options.weights,
        "fine_tune": options.fine_tune,
    }


class _Training:
    """A training whose folder is open."""

    def __init__(
        self,
        design: Design,
        dataset: Dataset,
        options: TrainOptions,
        folder: TrainingFolder,
        show: Callable[[Progress], None],
    ) -> None:
        self.design, self.dataset, self.options, self.folder = design, dataset, options, folder
        self.quality = "mean_iou" if dataset.task == "segmentation" else "accuracy"
        self.fresh_head = False
        self._show = show

    def begin(self, name: str) -> None:
        """Put the starting weights into the folder, and begin or find the run in MLflow."""
        options, folder = self.options, self.folder
        if not folder.results:
            self.data = self.dataset.save(folder.scratch / "data")
        if not folder.started:
            given = None
            if options.weights:
                state, self.fresh_head = starting_state(
                    options.weights, self.design.architecture, options.seed
                )
                given = folder.scratch / "given.npz"
                write_state(given, state)
            folder.begin(evaluate(self._job(0, given)).values)
        settings = {
            "data": self.dataset.source,
            "epochs": options.epochs,
            "patience": options.patience or "none",
            "seed": options.seed,
            "from": options.weights or "fresh weights",
            "fine_tune": options.fine_tune,
            "folder": folder.path,
        }
        self.record = TrainingRecord.open(TrainingRun(folder.key, name, self.design, self.dataset, settings))

    def run(self, formats: ExportOptions) -> Trained:
        """Train the epochs that are left; give what came of it."""
        state: Literal["complete", "interrupted", "failed"] = "failed"
        values: dict[str, float] = {}
        files: Mapping[str, Path] = {}
        try:
            self._epochs()
            test = self._test()
            values = self._values()
            best = read_state(self.folder.best_weights)
            files = export_files(self.design, list(best.weights), self.folder.path, formats)
            state = "complete"
        except KeyboardInterrupt:
            state = "interrupted"
            raise
        finally:
            final = {**values, **self.folder.results.get("test", {})}
            self.record.finish(state, self.folder.curve, final, list(files.values()))
        return Trained(
            progress=self._progress(),
            stopped_early=len(self.folder.curve) < self.options.epochs,
            values=values,
            test=test,
            files=files,
            folder=self.folder.path,
            run_id=self.record.run_id,
            link=self.record.link,
        )

    def _epochs(self) -> None:
        folder = self.folder
        self._show(self._progress())
        while not self._over():
            job = self._job(len(folder.curve) + 1, folder.last_weights)
            row = evaluate(job).curve[-1]
            folder.add(row, self._score(row) > self._best_score())
            self.record.write_curve(folder.curve)
            self._show(self._progress())

    def _over(self) -> bool:
        done, patience = len(self.folder.curve), self.options.patience
        without = done - self.folder.best
        return done >= self.options.epochs or (patience is not None and without >= patience)

    def _best_score(self) -> tuple[float, float]:
        if self.folder.best:
            return self._score(self.folder.curve[self.folder.best - 1])
        if not self.options.weights:
            return (float("-inf"), float("-inf"))  # an epoch is always better than fresh weights
        return self.folder.start[self.quality], -self.folder.start["val_loss"]

    def _score(self, row: Mapping[str, float]) -> tuple[float, float]:
        return row[f"val_{self.quality}"], -row["val_loss"]

    def _test(self) -> Mapping[str, float]:
        """Judge the best weights on the test split, the first time that it is asked."""
        if not self.folder.results:
            found = score_test_split(self.design, self.folder.best_weights, self.dataset)
            self.folder.save_results({"test": found})
        test: Mapping[str, float] = self.folder.results["test"]
        return test

    def _values(self) -> dict[str, float]:
        quality, negative_loss = self._best_score()
        counted = network_cost(self.design.architecture)
        return {
            self.quality: quality,
            "val_loss": -negative_loss,
            "params": counted.params,
            "flops": counted.flops,
            "peak_bytes": counted.peak_bytes,
        }

    def _job(self, epochs: int, resume: Path | None) -> Job:
        return Job(
            self.design,
            self.data,
            epochs,
            self.options.epochs,
            self.folder.scratch,
            resume,
            self.options.seed,
            freeze_norm=self.options.fine_tune,
        )

    def _progress(self) -> Progress:
        folder = self.folder
        return Progress(
            self.options.epochs,
            tuple(folder.curve),
            folder.start,
            folder.best,
            self.quality,
            self.fresh_head,
            self.record.problem,
        )
