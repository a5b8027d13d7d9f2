"""Train and validate networks: the only code that trains."""

from __future__ import annotations

import gc
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import assert_never

import numpy as np
import psutil

from nas.architecture import Design, Training, network_cost
from nas.backends import TargetScale
from nas.data import RECORD_FILE, Dataset, Split
from nas.errors import EvaluationError, SpaceError
from nas.evaluation.augmentation import augment
from nas.evaluation.checkpoint import read_state, write_state
from nas.evaluation.job import Evaluation, Job, Judgement, Progress
from nas.evaluation.label_metrics import LabelAnswers
from nas.evaluation.metrics import Answers, PixelAnswers, mean_metrics
from nas.evaluation.number_metrics import NumberAnswers
from nas.evaluation.outputs import AnyAnswers, answer_with, load_as_file, quality_values
from nas.evaluation.trainer import Trainer, without_graph_optimizer
from nas.tensorflow_imports import import_tensorflow

__all__ = ["Evaluator"]

SECOND_METRICS = {"multi_label": "label_accuracy", "regression": "mae"}
"""Name of the value that stands beside the training loss in a curve, for tasks without an accuracy."""

PHASES = ("build", "trace", "train", "statistics", "validate", "file", "save")
"""What the time of a job is spent on; `file`: to write and validate a file of lower precision."""

CHECKPOINT = "checkpoint.npz"
STATISTICS_EXAMPLES = 256
"""Training examples from which the statistics of batch normalization are computed."""

CACHE_BYTES = 256 * 2**20
"""Default memory for cached trainers."""

TRACED_BYTES = 10 * 2**20
"""Memory of the traced functions of a trainer, without its weights."""

VALIDATION_BYTES = 32 * 2**20
"""Memory of the activations of a validation batch."""


def _report_nothing(done: int, total: int) -> None:
    """Receive the progress of a job that nobody watches."""


class Evaluator:
    """Evaluates jobs in this process.

    It caches the trainers of the networks that it trained last, so that a promoted trial continues at once,
    and the open data sets. The constructor imports TensorFlow with the settings for a task.
    """

    def __init__(self, task: str = "classification", cache_bytes: int = CACHE_BYTES) -> None:
        import_tensorflow(task)
        self._trainers = _TrainerCache(cache_bytes)
        self._open_dataset = lru_cache(maxsize=2)(_open_dataset)

    def evaluate(self, job: Job, progress: Progress = _report_nothing) -> Evaluation:
        """Train a design up to a number of epochs and validate it.

        progress: is called after each step, and after each batch of the validation.

        The weights that are validated are an average over the steps of the last epoch, and the statistics of
        batch normalization are computed for them from training examples, without dropout and augmentation.
        The checkpoint contains both, and the answers. If the job has a lower precision, a trial is validated
        and judged at its end by its file, and values of float32 are named `float_accuracy`, ... Equal jobs
        have equal results, and a job that resumes a checkpoint has that of an uninterrupted one. Raises
        EvaluationError if the loss is not finite, the checkpoint is of another network or the file cannot be
        made, SpaceError for a network that cannot be trained on the data, StorageError if the checkpoint
        cannot be written, RunError if the data set cannot be opened. The test split is read only for a job
        with `judged_by`.
        """
        record = job.dataset / RECORD_FILE
        dataset = self._open_dataset(job.dataset, record.stat().st_mtime_ns if record.is_file() else 0)
        clock = _Clock()
        with clock.measure("build"):
            trainer = self._trainers.get(job.design, dataset, job.freeze_norm)
            state = read_state(job.resume) if job.resume else trainer.initial_state(job.seed)
            trainer.restore(state, job.seed, train_on=state.epochs < job.epochs)
        steps = math.ceil(len(dataset.train) / job.design.training.batch_size)
        total, done = steps * max(0, job.epochs - state.epochs), 0

        def report(taken: int) -> None:
            nonlocal done
            done += taken
            progress(done, total)

        curve: list[dict[str, float]] = []
        for epoch in range(state.epochs + 1, job.epochs + 1):
            started = time.perf_counter()
            row = {"epoch": float(epoch), **_train_epoch(trainer, job, dataset.train, epoch, clock, report)}
            if epoch == job.epochs:
                with clock.measure("statistics"):
                    trainer.use_average()
                    trainer.recompute_statistics(_statistics_examples(dataset.train, job.seed))
                answers = _answers(trainer, dataset.validation, clock, report)
                row |= _prefix("val_", answers.metrics())
            curve.append({**row, "seconds": time.perf_counter() - started})
        if not curve:
            answers = _answers(trainer, dataset.validation, clock, report)
        values = quality_values(answers) | ({"loss": curve[-1]["loss"]} if curve else {})
        epochs = max(job.epochs, state.epochs)
        state = trainer.state(epochs) if curve else state
        run = None
        if job.is_last and job.precision != "float32":
            with clock.measure("file"):
                run = load_as_file(job.design.architecture, state.weights, job.precision, dataset)
                answers = answer_with(run, job.design.architecture.task, dataset, dataset.validation)
            values = {f"float_{name}": value for name, value in values.items() if name != "loss"} | values
            values |= quality_values(answers)
        judgement = None
        if job.judged_by:
            test = _test_split(dataset)
            if run is None:
                tested = _answers(trainer, test, clock, report)
            else:
                tested = answer_with(run, job.design.architecture.task, dataset, test)
            contributions = [part.contributions(job.judged_by) for part in (answers, tested)]
            judgement = Judgement(_prefix("test_", tested.metrics()), *contributions)
        with clock.measure("save"):
            checkpoint = job.folder / CHECKPOINT
            state = replace(state, answers=answers.saved())
            write_state(checkpoint, replace(state, slots=(), last=None) if job.is_last else state)
        memory_mb = psutil.Process().memory_info().rss / 2**20
        return Evaluation(values, epochs, tuple(curve), clock.seconds, checkpoint, memory_mb, judgement)

    def score_test_split(self, design: Design, checkpoint: Path, dataset: Dataset) -> dict[str, float]:
        """Return the metrics of the test split: test_loss, test_accuracy, ...; see `metrics` of the answers.

        Raises EvaluationError if the data has no test split or the checkpoint is of another network.
        """
        test = _test_split(dataset)
        return _prefix("test_", self.answer_split(design, checkpoint, dataset, test).metrics())

    def answer_split(self, design: Design, checkpoint: Path, dataset: Dataset, split: Split) -> AnyAnswers:
        """Return the answers to a split; raises EvaluationError if the checkpoint is of another network."""
        return _answers(self._restored(design, checkpoint, dataset), split, _Clock())

    def _restored(self, design: Design, checkpoint: Path, dataset: Dataset) -> Trainer:
        trainer = self._trainers.get(design, dataset)
        trainer.restore(read_state(checkpoint), seed=0)
        return trainer


class _TrainerCache:
    """The trainers that were used last, up to an amount of memory."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._entries: OrderedDict[tuple[object, ...], tuple[Trainer, int]] = OrderedDict()  # with its bytes

    def get(self, design: Design, dataset: Dataset, frozen_norm: bool = False) -> Trainer:
        """Return the trainer of a design, a cached one if possible."""
        weights = _class_weights(design, dataset)
        scale = TargetScale.of(dataset.train.y) if dataset.task == "regression" else None
        key = (design.key, str(dataset.train.x.dtype), dataset.ignore_label, frozen_norm, weights, scale)
        entry = self._entries.pop(key, None)
        if entry is None:
            _check_design(design, dataset)
            costs = network_cost(design.architecture)
            # float32: the weights, two moving averages of the optimizer, and the gradient
            size = TRACED_BYTES + 4 * 4 * costs.params
            self._evict(size)
            trainer = Trainer(
                design,
                dataset.train.x.dtype,
                validation_batch=max(1, min(256, VALIDATION_BYTES // costs.peak_bytes)),
                class_weights=weights,
                ignore_label=dataset.ignore_label,
                scale=scale,
                frozen_norm=frozen_norm,
            )
            entry = trainer, size
        self._entries[key] = entry
        return entry[0]

    def _evict(self, needed: int) -> None:
        """Remove the least recently used trainers until `needed` bytes are free."""
        sizes = [size for _, size in self._entries.values()]
        evicted = [i for i in range(len(sizes)) if sum(sizes[i:]) + needed > self._max_bytes]
        for _ in evicted:
            self._entries.popitem(last=False)
        if evicted:
            gc.collect()  # a traced graph is part of a reference cycle


class _Clock:
    """Measures the seconds of each phase; the first call of a TensorFlow function includes its tracing."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(PHASES, 0.0)

    @contextmanager
    def measure(self, phase: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.seconds[phase] += time.perf_counter() - started

    def add_batches(self, phase: str, durations: list[float], traced: bool) -> None:
        """Add the durations of batches; if the first was traced, its excess over the median is tracing."""
        if traced:
            steady = float(np.median(durations[1:])) if len(durations) > 1 else 0.0
            first = min(steady, durations[0])
            self.seconds["trace"] += durations[0] - first
            durations = [first, *durations[1:]]
        self.seconds[phase] += sum(durations)


def _open_dataset(folder: Path, saved_ns: int) -> Dataset:  # noqa: ARG001  # part of the cache key
    return Dataset.open(folder)


def _test_split(dataset: Dataset) -> Split:
    if dataset.test is None:
        raise EvaluationError(
            f"a data set must have a test split, got '{dataset.name}' without one; add x_test and y_test"
        )
    return dataset.test


def _train_epoch(
    trainer: Trainer, job: Job, split: Split, epoch: int, clock: _Clock, report: Callable[[int], None]
) -> dict[str, float]:
    training = job.design.training
    rng = np.random.default_rng([job.seed, epoch])
    order = rng.permutation(len(split))
    starts = range(0, len(split), training.batch_size)
    total_steps = len(starts) * max(job.full_epochs, job.epochs)
    traced = not trainer.train_traced
    sums, durations = np.zeros(3), []
    # The weights of the first half of all steps are far from the last ones.
    first_averaged = max(0, epoch * len(starts) // 2 - (epoch - 1) * len(starts))
    with without_graph_optimizer():
        for step, start in enumerate(starts):
            started = time.perf_counter()
            if epoch == job.epochs and step == first_averaged:
                trainer.begin_average()
            batch = order[start : start + training.batch_size]
            x, y = split.x[batch], split.y[batch].astype(trainer.label_dtype)
            mixture = None
            if training.changes_inputs:
                x, y, mixture = augment(job.design, x, y, rng)
            rate = _learning_rate(training, ((epoch - 1) * len(starts) + step) / total_steps)
            sums += trainer.train_batch(x, y, rate, mixture)
            if not math.isfinite(sums[0]):
                raise EvaluationError(
                    f"the loss must stay finite, got {sums[0]} in epoch {epoch}, step {step + 1}; "
                    f"lower learning_rate ({training.learning_rate}) or add normalization"
                )
            durations.append(time.perf_counter() - started)
            report(1)
    clock.add_batches("train", durations, traced)
    return mean_metrics(sums, SECOND_METRICS.get(trainer.task, "accuracy"))


def _statistics_examples(split: Split, seed: int) -> np.ndarray:
    """Return the training examples from which the statistics of batch normalization are computed."""
    rng = np.random.default_rng([seed, 0])
    chosen: np.ndarray = split.x[np.sort(rng.permutation(len(split))[:STATISTICS_EXAMPLES])]
    return chosen


def _learning_rate(training: Training, progress: float) -> float:
    """Return the learning rate after a share of all steps."""
    match training.schedule:
        case "constant":
            return training.learning_rate
        case "cosine":
            return training.learning_rate * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
        case _:
            assert_never(training.schedule)


def _class_weights(design: Design, dataset: Dataset) -> tuple[float, ...] | None:
    """Return examples / (classes * examples of the class) by class, of the training split, or None for 1."""
    match design.training.class_weight:
        case "none":
            return None
        case "balanced":
            counts = dataset.count_classes(dataset.train)
            weights = counts.sum() / (np.count_nonzero(counts) * np.maximum(counts, 1))
            return tuple(weights.tolist())
        case _:
            assert_never(design.training.class_weight)


def _answers(
    trainer: Trainer, split: Split, clock: _Clock, report: Callable[[int], None] = lambda _: None
) -> AnyAnswers:
    """Return the answers to a split at inference."""
    size = trainer.validation_batch
    traced = not trainer.test_traced
    batches, durations = [], []
    for start in range(0, len(split), size):
        started = time.perf_counter()
        x, y = split.x[start : start + size], split.y[start : start + size].astype(trainer.label_dtype)
        batches.append(trainer.test_batch(x, y))
        durations.append(time.perf_counter() - started)
        report(0)
    clock.add_batches("validate", durations, traced)
    parts = [np.concatenate(arrays) for arrays in zip(*batches, strict=True)]
    truth = np.asarray(split.y)
    if trainer.task == "segmentation":
        return PixelAnswers(*parts)
    if trainer.task == "multi_label":
        return LabelAnswers(truth, *parts)
    if trainer.scale is not None:
        return NumberAnswers(truth, trainer.scale.numbers(parts[0]), parts[1])
    predicted, losses, *scores = parts
    return Answers(truth, predicted, losses, scores[0] if scores else None, trainer.classes)


def _check_design(design: Design, dataset: Dataset) -> None:
    architecture = design.architecture
    if architecture.head is None:
        raise SpaceError("a network needs a head to be trained, got head: null; leave head out of the file")
    task = "classification" if architecture.task == "binary" else architecture.task
    if task != dataset.task:
        raise SpaceError(
            f"a network must be made for its data, got task {architecture.task} for data of {dataset.task}; "
            "change the file or the data"
        )
    data, network = (dataset.shape, len(dataset.classes)), (architecture.input_shape, architecture.classes)
    if data != network:
        raise SpaceError(
            f"a network must be made for its data, got input_shape {list(network[0])} and classes "
            f"{network[1]} for data of {list(data[0])} and {data[1]}; change the file or the data"
        )


def _prefix(prefix: str, metrics: dict[str, float]) -> dict[str, float]:
    return {f"{prefix}{name}": value for name, value in metrics.items()}
