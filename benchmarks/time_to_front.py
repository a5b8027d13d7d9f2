"""Hypervolume of (accuracy, log params) over time of Keras Tuner, Optuna and `nas`, at equal wall-clock time.

    python benchmarks/time_to_front.py --data fashion_mnist.npz --minutes 20

Each contender searches in a separate process until it is killed. Its front at a time consists of the networks
that it has trained in full by then, with its own measurements. Then every network that was ever on a front is
trained again in full with another seed, the same for all. The score uses the accuracy of this second
training, so that noise gives no advantage.

- Keras Tuner has a single objective: accuracy minus PRICE for each factor of ten of parameters.
- The Optuna scripts have both objectives: multivariate, grouped TPE; NSGA-II with a population of 20.
- nas runs with its defaults: default engine, halving, all workers, record.
"""

from __future__ import annotations

import math
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from _common import (
    Outcome,
    Task,
    absolute_path,
    common_parser,
    conditions,
    emit,
    figure_axes,
    median,
    run_child,
    table,
)
from _searches import CONTENDERS, PRICE, contend


class Scorer:
    """Counts parameters of networks, trains networks again, and computes the hypervolume of fronts."""

    def __init__(self, task: Task) -> None:
        from nas.searching import counted_costs
        from nas.space import find_extreme

        self.task = task
        self.dataset, self.space = task.load()
        self.low, self.high = (
            find_extreme(self.space, lambda design: counted_costs(design.architecture)["params"], greatest)[1]
            for greatest in (False, True)
        )
        self._params: dict[str, float] = {}
        self._designs: dict[str, Any] = {}
        self.retrained: dict[str, float] = {}  # accuracy of the second training, by network

    def network(self, setting: Mapping[str, Any]) -> str:
        """Return the key of the network that a setting builds."""
        from nas.architecture import network_cost

        design = self.space.design(setting)
        if design.key not in self._designs:
            self._designs[design.key] = design
            self._params[design.key] = float(network_cost(design.architecture).params)
        return str(design.key)

    def scaled_log_params(self, network: str) -> float:
        """Return the log parameters, scaled from 0 (smallest of the space) to 1 (largest)."""
        return math.log(self._params[network] / self.low) / math.log(self.high / self.low)

    def front(self, accuracies: Mapping[str, float]) -> list[str]:
        """Return the non-dominated networks."""
        from nas.trials import non_dominated

        keys = list(accuracies)
        points = np.array([(-accuracies[key], self.scaled_log_params(key)) for key in keys]).reshape(-1, 2)
        return [key for key, on_front in zip(keys, non_dominated(points), strict=True) if on_front]

    def retrain(self, networks: Sequence[str], folder: Path) -> None:
        """Train networks in full with another seed, one worker per core."""
        from nas.evaluation import Job
        from nas.executors import LocalProcesses, WorkerQueue, worker_count

        saved = self.dataset.save(folder / "data")
        executor = WorkerQueue(LocalProcesses(), worker_count())
        try:
            futures = {}
            for number, network in enumerate(networks):
                job_folder = folder / f"network{number}"
                job_folder.mkdir()
                epochs = self.task.epochs
                design = self._designs[network]
                job = Job(
                    design, saved, epochs, epochs, job_folder, seed=10_000 + self.task.seed, number=number
                )
                futures[network] = executor.submit(job)
            self.retrained |= {key: future.result().values["accuracy"] for key, future in futures.items()}
        finally:
            executor.close()

    def hypervolume(self, front: Sequence[str]) -> float:
        """Return the hypervolume of a front by the second training: a share of the unit square."""
        from nas.trials.pareto import hypervolume

        points = np.array(
            [(1.0 - self.retrained[key], self.scaled_log_params(key)) for key in front]
        ).reshape(-1, 2)
        return hypervolume(np.array(points).reshape(-1, 2), np.ones(2))


def fronts(
    scorer: Scorer, lines: Sequence[Mapping[str, Any]], started: float
) -> list[tuple[float, list[str]]]:
    """Return (seconds, networks) for each change of a contender's front of fully trained networks."""
    found: list[tuple[float, list[str]]] = []
    accuracies: dict[str, float] = {}
    for line in lines:
        seconds = line["ended"] - started
        if line["epochs"] < scorer.task.epochs or seconds > 60 * scorer.task.minutes:
            continue
        accuracies[scorer.network(line["setting"])] = line["accuracy"]
        front = scorer.front(accuracies)
        if not found or set(found[-1][1]) != set(front):
            found.append((seconds, front))
    return found


def time_to_pass(curve: Sequence[tuple[float, float]], level: float) -> float | None:
    """Return the seconds after which a curve stays above a level; None if it ends below."""
    passed: float | None = None
    for seconds, volume in curve:
        if volume <= level:
            passed = None
        elif passed is None:
            passed = seconds
    return passed


def run_searches(task: Task, names: Sequence[str], scratch: Path) -> dict[str, Outcome]:
    """Run the search of each contender once, one after the other."""
    outcomes = {}
    for name in names:
        print(f"seed {task.seed}, {name}: {task.minutes:g} minutes", file=sys.stderr)
        outcomes[name] = run_child(__file__, name, task, scratch / name, stop_after=60 * task.minutes)
    return outcomes


def score_searches(task: Task, outcomes: Mapping[str, Outcome], scratch: Path) -> dict[str, Any]:
    """Train the found networks again; return trials, curve and final hypervolume of each contender."""
    scorer = Scorer(task)
    changes = {name: fronts(scorer, found.lines, found.started) for name, found in outcomes.items()}
    networks = sorted({key for found in changes.values() for _, front in found for key in front})
    print(f"seed {task.seed}: training {len(networks)} networks again", file=sys.stderr)
    (scratch / "retrained").mkdir()
    scorer.retrain(networks, scratch / "retrained")
    contenders: dict[str, Any] = {}
    for name, found in changes.items():
        curve = [(round(seconds, 1), scorer.hypervolume(front)) for seconds, front in found]
        last = found[-1][1] if found else []
        lines = outcomes[name].lines
        contenders[name] = {
            "reports": len(lines),
            "trained_in_full": sum(line["epochs"] >= task.epochs for line in lines),
            "curve": curve,
            "final_hypervolume": curve[-1][1] if curve else 0.0,
            "front": sorted((int(scorer._params[key]), round(scorer.retrained[key], 4)) for key in last),
        }
    return {"seed": task.seed, "contenders": contenders}


def compare(task: Task, names: Sequence[str], repeats: int) -> dict[str, Any]:
    """Repeat the comparison with different seeds and orders of the contenders; return medians and the
    speed-up.

    All searches come first, because only they are timed.
    """
    environment = conditions()
    tasks = [replace(task, seed=task.seed + repeat) for repeat in range(repeats)]
    with tempfile.TemporaryDirectory() as scratch:
        folders = [Path(scratch, str(repeat)) for repeat in range(repeats)]
        outcomes = []
        for repeat, folder in enumerate(folders):
            folder.mkdir()
            order = [*names[repeat % len(names) :], *names[: repeat % len(names)]]
            outcomes.append(run_searches(tasks[repeat], order, folder))
        rounds = [score_searches(*one) for one in zip(tasks, outcomes, folders, strict=True)]
    finals = {
        name: median(played["contenders"][name]["final_hypervolume"] for played in rounds) for name in names
    }
    speedups: list[float] = []
    for played in rounds:
        best = max(
            (found["final_hypervolume"] for name, found in played["contenders"].items() if name != "nas"),
            default=0.0,
        )
        passed = time_to_pass(played["contenders"]["nas"]["curve"], best) if "nas" in names else None
        played["best_of_others"] = best
        played["nas_passes_after_seconds"] = passed
        speedups.append(60 * task.minutes / passed if passed else 0.0)
    return {
        "benchmark": "time_to_front",
        "final_hypervolume": finals,
        "speedup": median(speedups),
        "task": {
            **{
                key: value
                for key, value in asdict(task).items()
                if key in ("train_limit", "epochs", "minutes")
            },
            "data": Path(task.data).stem,
            "space": Path(task.space).stem,
            "price": PRICE,
            "repeats": repeats,
        },
        "rounds": rounds,
        "conditions": environment,
    }


def figure(result: Mapping[str, Any], path: Path) -> None:
    """Plot the hypervolume over time, one line for each contender and repeat."""
    shades = dict(zip(CONTENDERS, ("#E69F00", "#F0E442", "#56B4E9", "#0072B2", "#D55E00"), strict=True))
    with figure_axes(path) as axes:
        for number, played in enumerate(result["rounds"]):
            for name, found in played["contenders"].items():
                curve = [*found["curve"], (60 * result["task"]["minutes"], found["final_hypervolume"])]
                times, volumes = zip(*curve, strict=True)
                label = name.replace("_", " ") if number == 0 else None
                minutes = [seconds / 60 for seconds in times]
                axes.step(minutes, volumes, where="post", color=shades[name], label=label, linewidth=1.6)
        axes.set(xlabel="minutes", ylabel="hypervolume of (accuracy, log params) after retraining")


def name_of(task: Mapping[str, Any]) -> str:
    """Return the name of a result's files, which contains the length of the searches."""
    return f"time_to_front-{task['data']}-{task['minutes']:g}min"


def text_of(result: Mapping[str, Any]) -> str:
    """Return the result as Markdown."""
    task, rounds = result["task"], result["rounds"]
    rows = [
        (
            name.replace("_", " "),
            f"{volume:.4f}",
            ", ".join(str(played["contenders"][name]["trained_in_full"]) for played in rounds),
            ", ".join(str(len(played["contenders"][name]["front"])) for played in rounds),
        )
        for name, volume in result["final_hypervolume"].items()
    ]
    passed = ", ".join(
        f"{played['nas_passes_after_seconds']:.0f} s" if played["nas_passes_after_seconds"] else "never"
        for played in rounds
    )
    limit = f", {task['train_limit']:,} training images" if task["train_limit"] else ""
    return "\n\n".join(
        (
            f"# Time to the front: {task['data']}{limit}, {task['minutes']:g} minutes each",
            f"`nas` exceeds the best final hypervolume of the others after {passed} of "
            f"{60 * task['minutes']:.0f} s: a median speed-up of {result['speedup']:.1f} x (0: never).",
            f"Space {task['space']}, full length {task['epochs']} epochs, {task['repeats']} repeats, every "
            "point trained again with another seed; Keras Tuner maximizes "
            f"accuracy - {task['price']} log10(params).",
            table(("contender", "final hypervolume", "trained in full", "on the front"), rows),
            f"![Hypervolume over time]({name_of(task)}.png)",
        )
    )


def fixed_splits(data: str, train: int, validation: int, folder: Path) -> str:
    """Write a file with stratified numbers of training and validation examples, for all contenders."""
    from nas.data import DataOptions, load_dataset

    share = validation / (train + validation)
    dataset = load_dataset(data, DataOptions(validation=share, train_limit=train))
    path = folder / f"{dataset.name}.npz"
    arrays = {"train": dataset.train, "val": dataset.validation, "test": dataset.test or dataset.validation}
    np.savez(
        path,
        **{
            f"{axis}_{name}": np.asarray(getattr(split, axis))
            for name, split in arrays.items()
            for axis in "xy"
        },
    )
    return str(path)


def main() -> None:
    """Parse the options, compare the contenders, and print the result."""
    parser = common_parser(__doc__, CONTENDERS)
    parser.add_argument("--data", default="fashion_mnist", help="a name, or a file such as fashion_mnist.npz")
    parser.add_argument("--train", type=int, default=10_000, help="training examples")
    parser.add_argument("--validation", type=int, default=5_000, help="validation examples")
    parser.add_argument("--minutes", type=float, default=20.0, help="minutes for each contender")
    parser.add_argument("--epochs", type=int, default=9, help="epochs of a full training")
    parser.add_argument("--contenders", default=",".join(CONTENDERS), help="names, comma-separated")
    parser.add_argument("--engine", help="engine of nas (default: its default engine)")
    args = parser.parse_args()
    if args.contender:
        contend(args.contender, Task.read(args.task), Path(args.out))
        return
    names = args.contenders.split(",")
    if unknown := set(names) - CONTENDERS.keys():
        parser.error(f"contenders must be some of {', '.join(CONTENDERS)}, got {', '.join(unknown)}")
    with tempfile.TemporaryDirectory() as folder:
        data = fixed_splits(absolute_path(args.data), args.train, args.validation, Path(folder))
        options = {"engine": args.engine} if args.engine else {}
        task = Task(
            data,
            None,
            absolute_path(args.space),
            args.epochs,
            args.seed,
            minutes=args.minutes,
            options=options,
        )
        result = compare(task, names, args.repeats)
    result["task"] |= {"train_limit": args.train, "validation": args.validation}
    emit(name_of(result["task"]), result, text_of(result), args.json, not args.no_keep, figure)


if __name__ == "__main__":
    main()
