"""One trial at one fidelity: the only code that trains.

A `Job` names a design, a data set and a number of epochs; `evaluate` trains up to that number, from a
checkpoint if there is one, and gives an `Evaluation`. A process keeps the networks that it traced last,
so that a promoted trial goes on at once.
"""

from __future__ import annotations

import gc
import math
import os
import platform
import re
import sys
import tempfile
import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nas.architecture import Design, network_cost
from nas.data import RECORD_FILE, Dataset, Split
from nas.errors import EvaluationError, SpaceError
from nas.evaluation.augmentation import transforms
from nas.evaluation.checkpoint import State, read_state, write_state
from nas.evaluation.trainer import Trainer, graphs_as_written

if TYPE_CHECKING:
    import keras

__all__ = ["Evaluation", "Job", "evaluate", "load_tensorflow", "load_weights", "predict", "score_test_split"]

CHECKPOINT = "checkpoint.npz"
KEPT_BYTES = 256 * 2**20  # of the networks that a process keeps traced
TRACED_BYTES = 10 * 2**20  # of one, its weights not counted
VALIDATION_BYTES = 32 * 2**20  # of activations in a validation batch
CHATTER = re.compile(rb"(WARNING: All log messages before absl|[IWE]\d{4} )")


@dataclass(frozen=True)
class Job:
    """What a worker is asked to train; small enough to be pickled."""

    design: Design
    dataset: Path  # the folder that `Dataset.save` wrote
    epochs: int  # train up to this many in total
    full_epochs: int  # the trial's full length, over which the learning rate falls
    folder: Path  # the checkpoint is written here
    resume: Path | None = None  # the checkpoint to go on from
    seed: int = 0  # of the initial weights, the order of the examples, dropout and augmentation
    number: int = 0  # the trial's
    freeze_norm: bool = False  # batch normalization as it is, at inference: for fine-tuning


@dataclass(frozen=True)
class Evaluation:
    """What came of a job."""

    values: Mapping[str, float]  # after the last epoch: accuracy or mean_iou (validation), loss, val_loss
    epochs: int  # trained in total
    curve: tuple[Mapping[str, float], ...]  # of the new epochs: epoch, loss, accuracy, val_loss, ..., seconds
    seconds: Mapping[str, float]  # build, trace (first steps over steady ones), train, validate, save
    checkpoint: Path
    memory_mb: float  # of the process afterwards


def load_tensorflow(task: str = "classification") -> None:
    """Load TensorFlow with the settings under which small networks train fastest on a processor.

    Takes 2 s, once a process; Keras, which training does without, would take as long again and 170 MB.
    Settings found in the environment are left alone. TensorFlow's log lines are kept from the terminal.
    For segmentation oneDNN stays off: with it, TensorFlow 2.21 corrupts its memory when it trains a
    separable encoder with a decoder of transposed convolutions on 90x120 images.
    """
    for name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if platform.machine() in ("x86_64", "AMD64"):
        os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0" if task == "segmentation" else "1")
    if "tensorflow" in sys.modules:
        return
    with _without_chatter(), _without_keras():
        import tensorflow as tf

        tf.constant(0)
    gc.collect()
    gc.freeze()  # the libraries' objects stay: a later collection need not look at them


@contextmanager
def _without_keras() -> Iterator[None]:
    """Keep TensorFlow from loading Keras with itself; whoever imports Keras later gets it as ever.

    TensorFlow is told that it is to be the Keras of old, which it then doesn't find and goes on without.
    """
    name = "TF_USE_LEGACY_KERAS"
    if name in os.environ:
        yield
        return
    os.environ[name] = "1"
    try:
        yield
    finally:
        del os.environ[name]


@contextmanager
def _without_chatter() -> Iterator[None]:
    """Hold back what goes to standard error, and then let through what is no log line of TensorFlow's."""
    with tempfile.TemporaryFile() as held:
        sys.stderr.flush()
        terminal = os.dup(2)
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(terminal, 2)
            held.seek(0)
            os.write(terminal, b"".join(line for line in held if not CHATTER.match(line)))
            os.close(terminal)


def evaluate(job: Job) -> Evaluation:
    """Train a design up to a number of epochs and judge it on the validation split.

    Equal jobs give equal results, and a job that goes on from a checkpoint the same as one that was never
    interrupted. Raises EvaluationError where the loss is not finite any more or the checkpoint does not fit,
    SpaceError for a network that cannot be trained on the data, RunError where the data set cannot be opened.
    """
    load_tensorflow()
    record = job.dataset / RECORD_FILE
    dataset = _opened(job.dataset, record.stat().st_mtime_ns if record.is_file() else 0)
    clock = _Clock()
    with clock.measured("build"):
        trainer = _trainer(job.design, dataset, job.freeze_norm)
        state = read_state(job.resume) if job.resume else trainer.initial(job.seed)
        trainer.restore(state, job.seed)
    curve: list[dict[str, float]] = []
    for epoch in range(state.epochs + 1, job.epochs + 1):
        begun = time.perf_counter()
        row = {"epoch": float(epoch), **_train_epoch(trainer, job, dataset.train, epoch, clock)}
        judged = _judge(trainer, dataset.validation, clock)
        row |= {f"val_{name}": value for name, value in judged.items()}
        curve.append({**row, "seconds": time.perf_counter() - begun})
    last = (
        curve[-1] if curve else {f"val_{k}": v for k, v in _judge(trainer, dataset.validation, clock).items()}
    )
    values = {name: last[f"val_{name}"] for name in ("accuracy", "mean_iou") if f"val_{name}" in last}
    values |= {name: last[name] for name in ("loss", "val_loss") if name in last}
    with clock.measured("save"):
        epochs = max(job.epochs, state.epochs)
        checkpoint = job.folder / CHECKPOINT
        write_state(checkpoint, trainer.state(epochs))
    return Evaluation(values, epochs, tuple(curve), clock.seconds, checkpoint, _memory_mb())


class _Clock:
    """Where the time went; first calls of a function are traced, and longer for it."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(("build", "trace", "train", "validate", "save"), 0.0)

    @contextmanager
    def measured(self, name: str) -> Iterator[None]:
        begun = time.perf_counter()
        yield
        self.seconds[name] += time.perf_counter() - begun

    def steps(self, name: str, durations: list[float], traced: bool) -> None:
        """Count a pass over batches; if the first was traced, what it took over the median is tracing."""
        if traced:
            steady = float(np.median(durations[1:])) if len(durations) > 1 else 0.0
            first = min(steady, durations[0])
            self.seconds["trace"] += durations[0] - first
            durations = [first, *durations[1:]]
        self.seconds[name] += sum(durations)


def _train_epoch(trainer: Trainer, job: Job, split: Split, epoch: int, clock: _Clock) -> dict[str, float]:
    training = job.design.training
    rng = np.random.default_rng([job.seed, epoch])
    order = rng.permutation(len(split))
    starts = range(0, len(split), training.batch_size)
    total_steps = len(starts) * max(job.full_epochs, job.epochs)
    traced = not trainer.train_traced
    sums, durations = np.zeros(3), []
    with graphs_as_written():
        for number, start in enumerate(starts):
            begun = time.perf_counter()
            chosen = order[start : start + training.batch_size]
            x, y = split.x[chosen], split.y[chosen].astype(np.int32)
            change = transforms(training, len(x), x.shape[1:3], rng) if trainer.augments else None
            rate = training.learning_rate
            if training.schedule == "cosine":
                done = min(1.0, ((epoch - 1) * len(starts) + number) / total_steps)
                rate *= 0.5 * (1 + math.cos(math.pi * done))
            sums += trainer.train_batch(x, y, rate, change)
            if not math.isfinite(sums[0]):
                raise EvaluationError(
                    f"the loss must stay finite, got {sums[0]} in epoch {epoch}, step {number + 1}; "
                    f"lower learning_rate ({training.learning_rate}) or add normalization"
                )
            durations.append(time.perf_counter() - begun)
    clock.steps("train", durations, traced)
    return {"loss": float(sums[0] / max(sums[2], 1)), "accuracy": float(sums[1] / max(sums[2], 1))}


def _judge(trainer: Trainer, split: Split, clock: _Clock) -> dict[str, float]:
    """Give loss and accuracy, and for segmentation mean_iou, of the network at inference."""
    size = trainer.validation_batch
    traced = not trainer.test_traced
    sums, confusion, durations = np.zeros(3), np.zeros(0, np.int64), []
    for start in range(0, len(split), size):
        begun = time.perf_counter()
        x, y = split.x[start : start + size], split.y[start : start + size].astype(np.int32)
        counted, cells = trainer.test_batch(x, y)
        sums = sums + counted
        confusion = cells if start == 0 else confusion + cells
        durations.append(time.perf_counter() - begun)
    clock.steps("validate", durations, traced)
    judged = {"loss": float(sums[0] / max(sums[2], 1)), "accuracy": float(sums[1] / max(sums[2], 1))}
    if trainer.task == "segmentation":
        judged["mean_iou"] = _mean_iou(confusion.reshape(trainer.classes, trainer.classes))
    return judged


def _mean_iou(confusion: np.ndarray) -> float:
    """Average intersection over union of the classes that are there, in truth or as predicted."""
    both = np.diag(confusion).astype(float)
    either = confusion.sum(axis=0) + confusion.sum(axis=1) - both
    present = either > 0
    return float(np.mean(both[present] / either[present])) if present.any() else 0.0


@lru_cache(maxsize=2)
def _opened(folder: Path, saved: int) -> Dataset:  # noqa: ARG001  # another time of saving is another data set
    return Dataset.open(folder)


_trainers: OrderedDict[tuple[object, ...], tuple[Trainer, int]] = OrderedDict()  # with its size in bytes


def _trainer(design: Design, dataset: Dataset, frozen_norm: bool = False) -> Trainer:
    """Give the trainer of a design, one of those that this process still holds if it can be."""
    key = (design.key, str(dataset.train.x.dtype), dataset.ignore_label, frozen_norm)
    held = _trainers.pop(key, None)
    if held is None:
        _check(design, dataset)
        costs = network_cost(design.architecture)
        size = TRACED_BYTES + 4 * 4 * costs.params  # the weights, the optimizer's two averages, a gradient
        _make_room(size)
        trainer = Trainer(
            design,
            dataset.train.x.dtype,
            validation_batch=max(1, min(256, VALIDATION_BYTES // costs.peak_bytes)),
            ignore_label=dataset.ignore_label,
            frozen_norm=frozen_norm,
        )
        held = trainer, size
    _trainers[key] = held
    return held[0]


def _make_room(size: int) -> None:
    """Drop the trainers used longest ago, as many as must go for one of this size."""
    crowded = [number for number in range(len(_trainers)) if _held_bytes(number) + size > KEPT_BYTES]
    for _ in crowded:
        _trainers.popitem(last=False)
    if crowded:
        gc.collect()  # a traced graph refers to itself


def _held_bytes(first: int) -> int:
    return sum(size for _, size in list(_trainers.values())[first:])


def _check(design: Design, dataset: Dataset) -> None:
    architecture = design.architecture
    if architecture.head is None:
        raise SpaceError("a network needs a head to be trained, got head: null; leave head out of the file")
    given, wanted = (dataset.shape, len(dataset.classes)), (architecture.input_shape, architecture.classes)
    if given != wanted:
        raise SpaceError(
            f"a network must be made for its data, got input_shape {list(wanted[0])} and classes {wanted[1]} "
            f"for data of {list(given[0])} and {given[1]}; change the file or the data"
        )


def _memory_mb() -> float:
    import psutil

    return float(psutil.Process().memory_info().rss / 2**20)


def load_weights(model: keras.Model, checkpoint: Path) -> None:
    """Put a checkpoint's weights into the model that `nas.backends.keras_model.build` makes of the same architecture.

    Raises EvaluationError where the checkpoint is another network's.
    """
    state: State = read_state(checkpoint)
    expected = [tuple(weight.shape) for weight in model.weights]
    if expected != [value.shape for value in state.weights]:
        raise EvaluationError(
            f"a checkpoint must be of the same network, got '{checkpoint}' with {len(state.weights)} weights "
            f"for a model with {len(expected)}; build the model from the same architecture"
        )
    model.set_weights(list(state.weights))


def predict(model: keras.Model, x: np.ndarray, batch: int = 64) -> np.ndarray:
    """Give a Keras model's outputs for examples, in batches: float32 (n, *output)."""
    outputs = [
        np.asarray(model(x[start : start + batch], training=False)) for start in range(0, len(x), batch)
    ]
    return np.concatenate(outputs)


def score_test_split(design: Design, checkpoint: Path, dataset: Dataset) -> dict[str, float]:
    """Give test_loss, test_accuracy and for segmentation test_mean_iou.

    Raises EvaluationError where the data has no test split or the checkpoint is another network's.
    """
    if dataset.test is None:
        raise EvaluationError(
            f"a data set must have a test split, got '{dataset.name}' without; add x_test, y_test"
        )
    load_tensorflow()
    trainer = _trainer(design, dataset)
    trainer.restore(read_state(checkpoint), seed=0)
    return {f"test_{name}": value for name, value in _judge(trainer, dataset.test, _Clock()).items()}
