"""Does a short training rank networks as the full training does?

    python benchmarks/fidelity.py                              digits and Fashion-MNIST, all shipped spaces
    python benchmarks/fidelity.py --data digits --spaces xception_like --networks 20 --json

Random networks of each space are trained to the rungs of a default search. The rank correlation between the
validation accuracy at a rung and after the full training says how far halving can trust the rung. No
correlation can be much higher than that of two full trainings with different seeds, which is measured with
`--again`. With `--runs FILE` each trained network is added to the file, and none is trained twice.

Data sets besides digits are read from $NAS_SHARED/data (../shared by default).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")

import numpy as np
from _common import common_parser, conditions, draw_networks, emit, table

from nas.data import DataOptions, Dataset, load_dataset
from nas.evaluation import Evaluator, Job
from nas.searching import SearchOptions
from nas.searching.halving import rungs
from nas.searching.planning import bind_space, complete_options
from nas.space import SearchSpace

SHARED = Path(os.environ.get("NAS_SHARED", Path(__file__).parents[2] / "shared")) / "data"
DATA = {
    "digits": ("digits", None),
    "fashion_mnist": ("fashion_mnist.npz", 2000),
    "cifar10": ("cifar10.zip", 2000),
}
SPACES = ("xception_like", "vgg_like", "residual", "mobilenet_like", "separable_small", "mnist_cnn")
MAX_PARAMS = 300_000  # of the drawn networks, so that a space takes minutes


def load(name: str) -> Dataset:
    """Load a data set of DATA."""
    file, limit = DATA[name]
    if file != name and not (SHARED / file).exists():
        raise SystemExit(
            f"--data {name} is read from $NAS_SHARED/data/{file}, which does not exist; set NAS_SHARED"
        )
    return load_dataset(name if file == name else str(SHARED / file), DataOptions(train_limit=limit))


def train(evaluator: Evaluator, job: Mapping[str, Any], steps: Sequence[int], folder: Path) -> dict[str, Any]:
    """Train a network to each rung; return the validation accuracy at each and the seconds by phase."""
    checkpoint, found, seconds = None, {}, dict[str, float]()
    for epochs in steps:
        evaluation = evaluator.evaluate(
            Job(**job, epochs=epochs, full_epochs=steps[-1], folder=folder, resume=checkpoint)
        )
        checkpoint = evaluation.checkpoint
        found[str(epochs)] = evaluation.values["accuracy"]
        for name, spent in evaluation.seconds.items():
            seconds[name] = seconds.get(name, 0.0) + spent
    return {"accuracy": found, "seconds": seconds}


def trained_networks(
    name: str, dataset: Dataset, space_name: str, options: argparse.Namespace, steps: Sequence[int]
) -> Iterator[dict[str, Any]]:
    """Yield the results of each network, from the file of runs where it contains them."""
    space = bind_space(SearchSpace.load(space_name), dataset)
    runs: Path | None = options.runs
    lines = runs.read_text(encoding="utf-8").splitlines() if runs and runs.exists() else []
    ended = {json.dumps(line["run"], sort_keys=True): line for line in map(json.loads, lines)}
    with tempfile.TemporaryDirectory() as scratch:
        folder, evaluator = Path(scratch), Evaluator(dataset.task)
        saved = dataset.save(folder / "data")
        for setting in draw_networks(space, options.networks, options.seed, MAX_PARAMS):
            for seed in (0, 1) if options.again else (0,):
                run = {
                    "data": name,
                    "space": space_name,
                    "setting": setting,
                    "steps": list(steps),
                    "seed": seed,
                }
                key = json.dumps(run, sort_keys=True)
                if key not in ended:
                    started = time.perf_counter()
                    job = {"design": space.design(setting), "dataset": saved, "seed": seed}
                    ended[key] = {
                        "run": run,
                        **train(evaluator, job, steps if not seed else steps[-1:], folder),
                    }
                    print(f"{name} {space_name}: {time.perf_counter() - started:.1f} s", file=sys.stderr)
                    if runs:
                        with runs.open("a", encoding="utf-8") as file:
                            file.write(json.dumps(ended[key]) + "\n")
                yield ended[key]


def correlations(found: Sequence[Mapping[str, Any]], steps: Sequence[int]) -> list[dict[str, Any]]:
    """Return the correlations of each rung, and of a second seed, with the full training."""
    from scipy.stats import kendalltau, spearmanr

    full = str(steps[-1])
    first = [line["accuracy"] for line in found if line["run"]["seed"] == 0]
    again = [line["accuracy"] for line in found if line["run"]["seed"] == 1]
    final = [accuracy[full] for accuracy in first]
    columns: dict[str, list[float]] = {str(rung): [row[str(rung)] for row in first] for rung in steps[:-1]}
    if again:
        columns[f"{full}, another seed"] = [row[full] for row in again]
    rows = []
    for epochs, values in columns.items():
        spearman, kendall = float(spearmanr(values, final)[0]), float(kendalltau(values, final)[0])
        rows.append(
            {
                "epochs": int(epochs) if epochs.isdigit() else epochs,
                "networks": len(final),
                "spearman": round(spearman, 3),
                "kendall": round(kendall, 3),
            }
        )
    return rows


def text(result: Mapping[str, Any]) -> str:
    """Return the report as Markdown."""
    head = ["data", "space", "epochs", "steps", "networks", "Spearman", "Kendall"]
    rows = [
        [
            row["data"],
            row["space"],
            row["epochs"],
            row["steps"],
            row["networks"],
            row["spearman"],
            row["kendall"],
        ]
        for row in result["rows"]
    ]
    return "\n\n".join(
        [
            "# Rank correlation of short trainings with the full training",
            "Validation accuracy at each rung of the default search against that after the full training, "
            f"over random networks of at most {MAX_PARAMS:,} parameters. Data: "
            + ", ".join(f"{name} ({count:,} training examples)" for name, count in result["examples"].items())
            + f". Computing the statistics of batch normalization takes {result['statistics_share']:.1%} "
            "of the time of training.",
            table(head, rows),
        ]
    )


def main(words: Sequence[str] | None = None) -> None:
    """Measure and report."""
    parser = common_parser(__doc__)
    parser.add_argument(
        "--data", default="digits,fashion_mnist", help=f"of {', '.join(DATA)}; comma-separated"
    )
    parser.add_argument("--spaces", default=",".join(SPACES), help="names, comma-separated")
    parser.add_argument("--networks", type=int, default=40, help="random networks of each space")
    parser.add_argument("--seed", type=int, default=0, help="of the random networks")
    parser.add_argument("--epochs", type=int, help="full length (default: that of a search)")
    parser.add_argument("--again", action="store_true", help="train each network with a second seed, in full")
    parser.add_argument("--runs", type=Path, help="file of trained networks, to resume")
    options = parser.parse_args(words)
    rows, examples = [], {}
    spent = {"train": 0.0, "statistics": 0.0}
    for name in options.data.split(","):
        if name not in DATA:
            raise SystemExit(f"--data must be of {', '.join(DATA)}, got '{name}'")
        dataset = load(name)
        examples[name] = len(dataset.train)
        complete = complete_options(SearchOptions(epochs=options.epochs), dataset)
        assert complete.epochs is not None
        steps = rungs(complete.epochs, complete.reduction, complete.epochs // complete.reduction**2)
        for space in options.spaces.split(","):
            found = list(trained_networks(name, dataset, space, options, steps))
            for line in found:
                for phase in spent:
                    spent[phase] += line["seconds"][phase]
            batches = -(-len(dataset.train) // 64)
            for row in correlations(found, steps):
                epochs = row["epochs"] if isinstance(row["epochs"], int) else steps[-1]
                rows.append({"space": space, "data": name, **row, "steps": epochs * batches})
    result = {
        "rows": rows,
        "examples": examples,
        "statistics_share": spent["statistics"] / max(spent["train"], 1e-9),
        "median_spearman_first_rung": float(
            np.median([row["spearman"] for row in rows if row["epochs"] == steps[0]])
        ),
        "conditions": conditions(),
    }
    emit("fidelity", result, text(result), options.json, not options.no_keep)


if __name__ == "__main__":
    main()
