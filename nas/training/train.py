"""Train one network at full length, resumable after any epoch, and score it once on the test split."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from nas.architecture import Design, network_cost
from nas.backends import TargetScale
from nas.data import DataOptions, Dataset
from nas.errors import DataError, InputError, nearest
from nas.evaluation import AnyAnswers, Evaluator, Job, read_state, write_state
from nas.export import FORMATS, ExportOptions, export_files
from nas.files import output_file
from nas.record import TrainingRecord, TrainingRun
from nas.report import network_data, page_html, write_figures
from nas.searching import fitting_qualities
from nas.tensorflow_imports import import_tensorflow
from nas.training.folder import TrainingFolder
from nas.training.starting_weights import starting_weights

__all__ = ["TrainingOptions", "TrainingProgress", "TrainingResult", "train_network"]


@dataclass(frozen=True)
class TrainingOptions:
    """How a network is trained; raises InputError for an impossible value."""

    out: Path  # the folder of the training
    epochs: int = 30
    patience: int | None = None  # stop after N epochs without a better validation; None: never
    seed: int = 0
    weights: str = ""  # a .npz, .weights.h5 or .keras file, a training's folder or NAME:TRIAL; '': new
    fine_tune: bool = False  # batch normalization is frozen and in inference mode
    formats: tuple[str, ...] = ("keras", "python")
    data_options: DataOptions = field(default_factory=DataOptions)  # by which the data were read

    def __post_init__(self) -> None:
        for name in ("epochs", "patience"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(f"{name} must be at least 1, got {value}; omit it for the default")
        if not 0 <= self.seed < 2**32:
            raise InputError(f"seed must be at least 0 and below 2**32, got {self.seed}; use for example 0")
        for name in self.formats:
            if name not in FORMATS:
                raise InputError(f"unknown format '{name}'; {nearest(name, FORMATS)}")
        if self.fine_tune and not self.weights:
            raise InputError("--fine-tune needs weights to start from, got none; add --from WEIGHTS")


@dataclass(frozen=True)
class TrainingProgress:
    """The state of a training after each epoch, and once before the first."""

    epochs: int  # to train in total
    curve: tuple[Mapping[str, float], ...]  # one row per epoch: epoch, loss, accuracy, ..., seconds
    start: Mapping[str, float]  # validation of the starting weights: the quality, val_loss, ...
    best: int  # the epoch with the best weights, 0 for the starting weights
    quality: str  # the default quality of the data: the best epoch has the greatest
    has_new_head: bool = False  # the last layer is initialized, since the weights are for other classes
    head_note: str = ""  # a sentence about the last layer, '' if the weights are for the same classes
    problem: str = ""  # why MLflow does not take the curve at the moment
    has_ended: bool = False  # nothing is left to train


@dataclass(frozen=True)
class TrainingResult:
    """The result of a training."""

    progress: TrainingProgress
    stopped_early: bool
    values: Mapping[str, float]  # on the validation split with the best weights; params, flops, peak_bytes
    test: Mapping[str, float]  # with the best weights: test_accuracy, test_loss, test_mean_iou
    files: Mapping[str, Path]  # by format
    folder: Path
    run_id: str  # MLflow's
    link: str  # of the run's page; '' if the record is not on a server


def show_nothing(_: TrainingProgress) -> None:
    """Do not display the progress."""


def train_network(
    design: Design,
    dataset: Dataset,
    options: TrainingOptions,
    show: Callable[[TrainingProgress], None] = show_nothing,
    name: str = "network",
) -> TrainingResult:
    """Train a design in this process, or resume where an earlier call with the same folder stopped.

    Stores the weights that are best on the validation split, scores them once on the test split and exports
    them. A training that has ended is not trained again. Raises InputError if the folder contains anything
    else, EvaluationError if the loss is not finite; KeyboardInterrupt leaves the folder ready to resume.
    """
    if dataset.test is None:
        raise DataError(
            f"a data set must have a test split, got '{dataset.name}' without one; add x_test and y_test"
        )
    formats = ExportOptions(options.formats, signature=dataset.signature)
    _use_all_cores(dataset.task)
    folder = TrainingFolder.open(options.out, _identity(design, dataset, options))
    try:
        training = _Training(design, dataset, options, folder, show)
        training.begin(name)
        return training.run(formats)
    finally:
        folder.close()


def _use_all_cores(task: str) -> None:
    """Load TensorFlow, if it is not loaded yet, with a thread per core; the workers of a search use one."""
    cores = str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    own = [name for name in ("TF_NUM_INTRAOP_THREADS", "OMP_NUM_THREADS") if name not in os.environ]
    os.environ.update(dict.fromkeys(own, cores))
    import_tensorflow(task)
    for name in own:  # worker processes that start later must not inherit it
        del os.environ[name]


def _identity(design: Design, dataset: Dataset, options: TrainingOptions) -> dict[str, Any]:
    """Return the settings that identify a training."""
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
        options: TrainingOptions,
        folder: TrainingFolder,
        show: Callable[[TrainingProgress], None],
    ) -> None:
        self.design, self.dataset, self.options, self.folder = design, dataset, options, folder
        self.quality = fitting_qualities(dataset)[0]
        self.has_new_head, self.head_note = False, ""
        self._show = show
        self._evaluator = Evaluator(dataset.task)

    def begin(self, name: str) -> None:
        """Store the starting weights in the folder, and create or find the run in MLflow."""
        self.name = name
        options, folder = self.options, self.folder
        if not folder.results:
            self.data = self.dataset.save(folder.scratch / "data")
        if not folder.started:
            given = None
            if options.weights:
                data = self.dataset
                scale = TargetScale.of(data.train.y) if data.task == "regression" else None
                start = starting_weights(
                    options.weights, self.design.architecture, data.classes, options.seed, scale
                )
                self.has_new_head, self.head_note = start.has_new_head, start.note
                given = folder.scratch / "given.npz"
                write_state(given, start.state)
            folder.begin(self._evaluator.evaluate(self._job(0, given)).values, self.dataset.classes)
        folder.describe(
            {
                "source": self.dataset.source,
                "options": options.data_options.model_dump(mode="json"),
                "fingerprint": self.dataset.fingerprint,
                "signature": self.dataset.signature.model_dump(mode="json"),
                "quality": self.quality,
            }
        )
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

    def run(self, formats: ExportOptions) -> TrainingResult:
        """Train the remaining epochs and return the result."""
        state: Literal["complete", "interrupted", "failed"] = "failed"
        values: dict[str, float] = {}
        files: dict[str, Path] = {}
        try:
            self._epochs()
            answers = self._answers()
            test = self._test(answers)
            values = self._values()
            best = read_state(self.folder.best_weights)
            files = export_files(self.design, list(best.weights), self.folder.path, formats)
            files |= self._figures(answers, {**values, **test})
            state = "complete"
        except KeyboardInterrupt:
            state = "interrupted"
            raise
        finally:
            final = {**values, **self.folder.results.get("test", {})}
            self.record.finish(state, self.folder.curve, final, list(files.values()))
        return TrainingResult(
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
        while not self._has_ended():
            job = self._job(len(folder.curve) + 1, folder.last_weights)
            row = self._evaluator.evaluate(job).curve[-1]
            folder.add(row, self._score(row) > self._best_score())
            self.record.write_curve(folder.curve)
            self._show(self._progress())

    def _has_ended(self) -> bool:
        done, patience = len(self.folder.curve), self.options.patience
        without = done - self.folder.best
        return done >= self.options.epochs or (patience is not None and without >= patience)

    def _best_score(self) -> tuple[float, float]:
        if self.folder.best:
            return self._score(self.folder.curve[self.folder.best - 1])
        if not self.options.weights:
            return (float("-inf"), float("-inf"))  # an epoch is always better than initial weights
        return self.folder.start[self.quality], -self.folder.start["val_loss"]

    def _score(self, row: Mapping[str, float]) -> tuple[float, float]:
        return row[f"val_{self.quality}"], -row["val_loss"]

    def _answers(self) -> AnyAnswers:
        """Return the answers of the best weights to the test split."""
        split = self.dataset.test
        assert split is not None  # `train_network` requires it
        return self._evaluator.answer_split(self.design, self.folder.best_weights, self.dataset, split)

    def _test(self, answers: AnyAnswers) -> Mapping[str, float]:
        """Score the best weights on the test split, once."""
        if not self.folder.results:
            scores = {f"test_{name}": value for name, value in answers.metrics().items()}
            self.folder.save_results({"test": scores})
        test: Mapping[str, float] = self.folder.results["test"]
        return test

    def _figures(self, answers: AnyAnswers, values: Mapping[str, float]) -> dict[str, Path]:
        """Write the report, and figures by class, label or number, of the best weights on the test split."""
        dataset, options = self.dataset, self.options
        assert dataset.test is not None  # `train_network` requires it
        training = self.design.training
        page = page_html(
            network_data(
                self.name,
                self.design,
                quality=self.quality,
                values=values,
                curve=self.folder.curve,
                dataset=dataset,
                split=dataset.test,
                answers=answers.saved(),
                facts=[
                    ("data", f"{dataset.source}, fingerprint {dataset.fingerprint}"),
                    ("best weights", f"of epoch {self.folder.best} of {len(self.folder.curve)}"),
                    ("starting weights", options.weights or "initialized"),
                    ("seed", str(options.seed)),
                    ("batch size", str(training.batch_size)),
                    ("learning rate", f"{training.learning_rate:g}, {training.schedule}"),
                    ("input", dataset.signature.input_text()),
                    ("output", dataset.signature.output_text()),
                ],
            )
        )
        report = self.folder.path / "report.html"
        with output_file(report) as unfinished:
            unfinished.write_text(page, encoding="utf-8")
        return {"report": report, **write_figures(answers, dataset.classes, self.folder.path)}

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

    def _progress(self) -> TrainingProgress:
        folder = self.folder
        return TrainingProgress(
            self.options.epochs,
            tuple(folder.curve),
            folder.start,
            folder.best,
            self.quality,
            self.has_new_head,
            self.head_note,
            self.record.problem,
            self._has_ended(),
        )
