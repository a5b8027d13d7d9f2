"""The fixed cost of a trial besides its training steps: Keras' `fit` and `nas.evaluation` in a warm worker.

    python benchmarks/fixed_cost.py                   writes benchmarks/results/fixed_cost.{md,json}
    python benchmarks/fixed_cost.py --json            prints the figures as JSON
    python benchmarks/fixed_cost.py --no-write        does not write to benchmarks/results

One process, one thread, oneDNN on for both. Networks of about 14,000 parameters (mini-Xception, 28x28x1),
each of them new to the process, are trained by the two alternately. The fixed cost is the time from the
design to the end of the first epoch with its validation (for nas also the checkpoint), minus the median of
the following epochs. Processor time is reported in addition to wall-clock time, because it does not depend on
the load of the machine.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

from _common import conditions, emit, median, table

from nas.architecture import Design, network_cost
from nas.backends import build_compiled_model
from nas.data import DataOptions, Dataset, load_dataset
from nas.evaluation import Evaluator, Job

BATCH = 64
EPOCHS = 4  # after the first
CLOCKS: dict[str, Callable[[], float]] = {"wall": time.perf_counter, "processor": time.process_time}


def design(stem: int) -> Design:
    """Return a mini-Xception; each stem width is another network of nearly the same size."""
    stage = {"conv": "separable", "convs": 2, "normalization": "before", "residual": "projection",
             "shortcut_bias": False, "shrink": "max_pool", "pool_size": 3}  # fmt: skip
    return Design.from_dict(
        {
            "input_shape": [28, 28, 1],
            "classes": 10,
            "stem": {"width": stem, "bias": False},
            "stages": [{**stage, "width": width} for width in (16, 32, 64)],
            "head": {"dropout": 0.5},
            "training": {"batch_size": BATCH},
        }
    )


def by_fit(network: Design, dataset: Dataset) -> dict[str, float]:
    """Train as in a script that follows Keras' documentation."""
    import keras

    train, validation = dataset.train, dataset.validation
    keras.backend.clear_session()
    moments = [now()]
    model = build_compiled_model(network.architecture, network.training)
    tick = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: moments.append(now()))
    options: dict[str, Any] = {
        "batch_size": BATCH,
        "verbose": 0,
        "validation_data": (validation.x, validation.y),
    }
    model.fit(train.x, train.y, **options)
    moments.append(now())
    model.fit(train.x, train.y, epochs=1 + EPOCHS, callbacks=[tick], **options)
    return split_times(moments[0], moments[1], moments[2:])


def by_nas(evaluator: Evaluator, network: Design, dataset: Path, folder: Path) -> dict[str, float]:
    """Train as in a worker of a search: a job for each epoch, resumed from the previous checkpoint."""
    start = now()
    first = evaluator.evaluate(Job(network, dataset, 1, 1 + EPOCHS, folder))
    end = now()
    ends = [end]
    for epoch in range(2, 2 + EPOCHS):
        evaluator.evaluate(Job(network, dataset, epoch, 1 + EPOCHS, folder, resume=first.checkpoint))
        ends.append(now())
    return split_times(start, end, ends)


def now() -> dict[str, float]:
    return {name: clock() for name, clock in CLOCKS.items()}


def split_times(
    start: dict[str, float], first: dict[str, float], ends: list[dict[str, float]]
) -> dict[str, float]:
    """Return the fixed cost and the duration of a steady epoch, in seconds, by each clock."""
    found = {}
    for name in CLOCKS:
        epochs = [after[name] - before[name] for before, after in pairwise(ends)]
        steady = statistics.median(epochs)
        found[f"fixed_{name}"] = first[name] - start[name] - steady
        found[f"epoch_{name}"] = steady
    return found


def run(repeats: int) -> dict[str, Any]:
    data = load_dataset("digits", DataOptions(image_size=28))
    rows: dict[str, list[dict[str, float]]] = {"fit": [], "nas": []}
    params = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        saved = data.save(folder / "data")
        opened = Dataset.open(saved)
        evaluator = Evaluator()
        for number in range(-1, repeats):  # the first of each is a warm-up and not counted
            network = design(14 + number)
            found = {
                "fit": by_fit(network, opened),
                "nas": by_nas(evaluator, network, saved, folder / str(number)),
            }
            if number >= 0:
                params.append(network_cost(network.architecture).params)
                for name, row in found.items():
                    rows[name].append(row)
    images = len(data.train)
    summary: dict[str, dict[str, float]] = {
        name: {key: median(row[key] for row in each) for key in each[0]} for name, each in rows.items()
    }
    for row in summary.values():
        row |= {f"ms_image_{clock}": float(f"{1e3 * row[f'epoch_{clock}'] / images:.3g}") for clock in CLOCKS}
    ratios = {
        f"ratio_{kind}_{clock}": median(
            theirs[f"{kind}_{clock}"] / ours[f"{kind}_{clock}"]
            for theirs, ours in zip(rows["fit"], rows["nas"], strict=True)
        )
        for kind in ("fixed", "epoch")
        for clock in CLOCKS
    }
    return {"params": [min(params), max(params)], "images": images, "repeats": repeats, "batch": BATCH,
            "median": summary, **ratios, "rows": rows}  # fmt: skip


def text(result: dict[str, Any]) -> str:
    fit, ours = result["median"]["fit"], result["median"]["nas"]
    rows = [
        [what, fit[key], ours[key], f"{result[ratio]:.3g} x"]
        for what, key, ratio in (
            ("fixed cost of a trial, processor seconds", "fixed_processor", "ratio_fixed_processor"),
            ("fixed cost of a trial, wall-clock seconds", "fixed_wall", "ratio_fixed_wall"),
            ("steady epoch, processor ms per image", "ms_image_processor", "ratio_epoch_processor"),
            ("steady epoch, wall-clock ms per image", "ms_image_wall", "ratio_epoch_wall"),
        )
    ]
    low, high = result["params"]
    return (
        "# The fixed cost of a trial besides its training steps\n\n"
        f"Medians of {result['repeats']} mini-Xceptions of {low:,} to {high:,} parameters on 28x28x1, one "
        f"thread, oneDNN on,\nbatch {result['batch']}; fit and nas alternate in one warm process. The fixed "
        "cost is the time from the design to the end of the first epoch\nwith its validation (for nas also "
        "the checkpoint), minus a steady epoch. A steady epoch includes validation\n(for nas also reading "
        "and writing the checkpoint).\n\n"
        + table(["measure", "model.fit", "nas.evaluation", "ratio"], rows)
        + "\n\nRatios are medians of the ratios of each network. On a loaded machine, compare processor "
        "times.\nCreated by `python benchmarks/fixed_cost.py`."
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--repeats", type=int, default=7, help="networks, at least 5")
    parser.add_argument("--no-write", action="store_true", help="do not write to benchmarks/results")
    options = parser.parse_args()
    if options.repeats < 5:
        parser.error(f"--repeats must be at least 5, got {options.repeats}; use 5")
    environment = conditions()
    result = {"conditions": environment, **run(options.repeats)}
    emit("fixed_cost", result, text(result), options.json, not options.no_write)


if __name__ == "__main__":
    main()
