"""The trainings of against_hand.py, each in a worker process and kept in a file, so that none is repeated."""

from __future__ import annotations

import json
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from _ladders import build_rung

__all__ = ["Item", "Runs", "train_items"]

BATCH_SIZE = 32  # of the ladders: the default of Keras' fit

RETRAINED = 1000
"""Added to the seed of the search when a member of its front is trained again."""

Key = Mapping[str, Any]


class Runs:
    """Finished runs by their keys, kept in a file of JSON lines if there is one."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._found: dict[str, dict[str, Any]] = {}
        if path is None or not path.exists():
            return
        content = path.read_text(encoding="utf-8")
        complete = content[: content.rfind("\n") + 1]  # without a line that is half-written
        if complete != content:
            path.write_text(complete, encoding="utf-8")
        for line in complete.splitlines():
            run = json.loads(line)
            self._found[_text(run["key"])] = run["result"]

    def get(self, key: Key) -> dict[str, Any] | None:
        """Return the result of a run, None if it has not finished."""
        return self._found.get(_text(key))

    def add(self, key: Key, result: dict[str, Any]) -> None:
        """Keep a result, and print a line about it on stderr."""
        self._found[_text(key)] = result
        if self._path is not None:
            with self._path.open("a", encoding="utf-8") as lines:
                lines.write(json.dumps({"key": dict(key), "result": result}) + "\n")
        accuracy = f": {result['accuracy']:.4f}" if "accuracy" in result else ""
        names = ("kind", "data", "seed", "label", "trial", "family", "width", "rate")
        words = " ".join(f"{name} {key[name]}" for name in names if name in key).removeprefix("kind ")
        print(f"{words}{accuracy}, {result['seconds']:.0f} s", file=sys.stderr, flush=True)


def _text(key: Key) -> str:
    return json.dumps(dict(key), sort_keys=True)


@dataclass(frozen=True)
class Item:
    """A network to train: a rung of a ladder, or a design of a front."""

    key: Key
    dataset: Path  # a folder that `Dataset.save` wrote
    epochs: int
    deadline: float  # time.time() after which it is not started
    design: Mapping[str, Any] | None = None  # of a front's member


def train_items(items: Iterable[Item], runs: Runs, processes: int) -> bool:
    """Train the items that have not finished before; return whether all have finished in time."""
    left = [item for item in items if runs.get(item.key) is None]
    if not left:
        return True
    complete = True
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
        futures = {pool.submit(train_item, item): item for item in left}
        for future in as_completed(futures):
            result = future.result()
            if result is None:
                complete = False
            else:
                runs.add(futures[future].key, result)
    return complete


def train_item(item: Item) -> dict[str, Any] | None:
    """Train one network; return its accuracies, costs and seconds, None if it is too late to start.

    `accuracy` is that of the validation split after the last epoch, `test_accuracy` that of the test split.
    """
    if time.time() > item.deadline:
        return None
    started = time.perf_counter()
    result = _fit_rung(item) if item.design is None else _train_design(item, item.design)
    return {**result, "seconds": time.perf_counter() - started}


def _fit_rung(item: Item) -> dict[str, Any]:
    """Train a rung by `model.fit` with Adam and a learning rate that falls to 0 along a half cosine."""
    from nas.data import Dataset
    from nas.tensorflow_imports import import_keras

    keras = import_keras()
    keras.backend.clear_session()
    keras.utils.set_random_seed(item.key["seed"])
    dataset = Dataset.open(item.dataset)
    model = build_rung(item.key["family"], item.key["rung"], dataset)
    steps = -(-len(dataset.train) // BATCH_SIZE) * item.epochs
    rate = keras.optimizers.schedules.CosineDecay(item.key["rate"], steps)
    model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
    x, y = (dataset.train.x[:], dataset.train.y[:])
    model.fit(x, y, batch_size=BATCH_SIZE, epochs=item.epochs, verbose=0)
    accuracies = {}
    for name, split in (("accuracy", dataset.validation), ("test_accuracy", dataset.test)):
        if split is not None:
            accuracies[name] = float(model.evaluate(split.x[:], split.y[:], batch_size=256, verbose=0)[1])
    latency = _keras_latency_ms(item, dataset, model)
    return {**accuracies, "params": model.count_params(), "latency_ms": latency}


def _keras_latency_ms(item: Item, dataset: Any, model: Any) -> float:
    """Return the latency of a trained model as nas measures it: LiteRT, float32, one thread, batch 1."""
    from nas.device.conversion import convert_to_litert, freeze_keras
    from nas.device.latency import measure_file

    single = build_rung(item.key["family"], item.key["rung"], dataset, batch_size=1)
    single.set_weights(model.get_weights())  # the converter would remove untrained normalization
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rung.tflite"
        file.write_bytes(convert_to_litert(freeze_keras(single)))
        return measure_file(file).p50_ms


def _train_design(item: Item, data: Mapping[str, Any]) -> dict[str, Any]:
    """Train a network of nas from new weights at full length with the seed of the item, as a search does."""
    from nas.architecture import Design, network_cost
    from nas.data import Dataset
    from nas.device.latency import measure_architecture
    from nas.evaluation import Evaluator, Job

    design, dataset = Design.from_dict(data), Dataset.open(item.dataset)
    evaluator = Evaluator(dataset.task)
    with tempfile.TemporaryDirectory() as folder:
        job = Job(
            design,
            item.dataset,
            epochs=item.epochs,
            full_epochs=item.epochs,
            folder=Path(folder),
            seed=item.key["seed"] + RETRAINED,
        )
        done = evaluator.evaluate(job)
        accuracies = {"accuracy": done.values["accuracy"]}
        if dataset.test is not None:
            accuracies["test_accuracy"] = evaluator.score_test_split(design, done.checkpoint, dataset)[
                "test_accuracy"
            ]
    return {
        **accuracies,
        "params": network_cost(design.architecture).params,
        "latency_ms": measure_architecture(design.architecture).p50_ms,
    }
