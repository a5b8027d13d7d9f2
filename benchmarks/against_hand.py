"""The front of a search against networks that a user writes by hand.

    python benchmarks/against_hand.py --data digits --runs digits.jsonl --json

A ladder is a family of networks at three widths (`_ladders.py`), trained by Keras' `fit` on the same splits
and for the same epochs as a full trial of the search: Adam, batches of 32, a learning rate that falls to 0
along a half cosine. Its start is the best of three by validation accuracy, chosen once for each family at its
middle width with seed 0. Against them: the front of `nas.search` with its default options and 50 trials, each
member trained again with another seed before it counts. Accuracies are those of the validation split after
the last epoch. Latencies are measured by nas for both: LiteRT, float32, one thread, batch 1.

Reads fashion_mnist.npz, cifar10.zip, trashnet_96.zip and elpv_96/ in $NAS_SHARED/data; the last two are
resized to 48x48. With `--runs FILE` each finished training or search is added to the file and never repeated;
`--limit-minutes` stops starting new ones. After a change of the search give another `--label`.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from _common import Task, absolute_path, common_parser, conditions, emit, run_child
from _hand_report import SeedRuns, summarize, text_of
from _hand_runs import Item, Runs, train_items
from _ladders import LADDERS

if TYPE_CHECKING:
    from nas.data import Dataset

SHARED = Path(os.environ.get("NAS_SHARED", Path(__file__).parents[2] / "shared")) / "data"
RATES = (0.003, 0.001, 0.0003)
MIDDLE = 1  # the rung at which the learning rate of a family is chosen


@dataclass(frozen=True)
class Source:
    """Where a data set is found, and how it is read."""

    file: str = ""  # in SHARED; '': a data set that nas knows by name
    image_size: int | None = None
    train_limit: int | None = None


SOURCES = {
    "digits": Source(),
    "fashion_mnist": Source("fashion_mnist.npz", train_limit=10_000),
    "cifar10": Source("cifar10.zip", train_limit=10_000),
    "trashnet_96": Source("trashnet_96.zip", image_size=48),
    "elpv_96": Source("elpv_96", image_size=48),
}


class Comparison:
    """All runs of one data set, in the order in which they are done."""

    def __init__(self, args: argparse.Namespace, folder: Path, runs: Runs) -> None:
        self._args, self._folder, self._runs = args, folder, runs
        self._deadline = time.time() + 60 * args.limit_minutes
        self._source = SOURCES[args.data]
        self._train_limit = args.train_limit or self._source.train_limit
        self._path = data_path(args.data, self._source, folder)
        self._datasets: dict[int, tuple[Dataset, Path, int]] = {}

    def dataset(self, seed: int) -> tuple[Dataset, Path, int]:
        """Load and save the data set with the splits of a seed; also return a full trial's epochs."""
        from nas.data import load_dataset
        from nas.searching import SearchOptions
        from nas.searching.planning import complete_options

        if seed not in self._datasets:
            options = SearchOptions.parse(
                {
                    "data": self._path,
                    "image_size": self._source.image_size,
                    "train_limit": self._train_limit,
                    "epochs": self._args.epochs,
                    "split_seed": seed,
                }
            )
            dataset = load_dataset(options.data, options)
            epochs = complete_options(options, dataset).epochs
            assert epochs is not None
            self._datasets[seed] = dataset, dataset.save(self._folder / f"splits-{seed}"), epochs
        return self._datasets[seed]

    def run(self, only: str) -> None:
        """Do what is missing: all of a seed before the next seed."""
        for seed in range(self._args.seeds):
            if only != "search" and not self._train_ladders(seed):
                return
            if only != "ladder" and not self._search(seed):
                return

    def _train_ladders(self, seed: int) -> bool:
        items = [
            self._item(self._rung_key(family, MIDDLE, rate, seed=0), 0)
            for family in self._args.families
            for rate in RATES
        ]
        if not train_items(items, self._runs, self._args.processes):
            return False
        items = [
            self._item(self._rung_key(family, rung, self.rate(family), seed), seed)
            for family in self._args.families
            for rung in range(len(LADDERS[family].widths))
        ]
        return train_items(items, self._runs, self._args.processes)

    def rate(self, family: str) -> float | None:
        """Return the learning rate of a family, None if it has not been chosen yet."""
        tried = {rate: self._runs.get(self._rung_key(family, MIDDLE, rate, seed=0)) for rate in RATES}
        accuracies = {rate: run["accuracy"] for rate, run in tried.items() if run is not None}
        return max(accuracies, key=accuracies.__getitem__) if len(accuracies) == len(RATES) else None

    def _search(self, seed: int) -> bool:
        """Search, and train the members of the front again."""
        _, path, epochs = self.dataset(seed)
        key = self._search_key(seed)
        if self._runs.get(key) is None:
            if time.time() > self._deadline:
                return False
            task = Task(
                self._path,
                self._train_limit,
                self._args.space,
                epochs,
                seed,
                options={"trials": self._args.trials, "image_size": self._source.image_size},
            )
            done = run_child(__file__, "search", task, self._folder / f"search-{seed}")
            self._runs.add(key, {"trials": list(done.lines), "seconds": done.seconds})
        search = self._runs.get(key)
        assert search is not None
        items = [
            Item(self._member_key(seed, trial["trial"]), path, epochs, self._deadline, trial["design"])
            for trial in search["trials"]
            if "design" in trial
        ]
        return train_items(items, self._runs, self._args.processes)

    def found(self, seed: int) -> SeedRuns | None:
        """Return what has finished for a seed, None if nothing has."""
        import numpy as np

        rungs = {}
        for family in self._args.families:
            if (rate := self.rate(family)) is None:
                continue
            for rung, width in enumerate(LADDERS[family].widths):
                if run := self._runs.get(self._rung_key(family, rung, rate, seed)):
                    rungs[family, rung] = {**run, "width": width, "rate": rate}
        search = self._runs.get(self._search_key(seed))
        trials = search["trials"] if search else []
        members = [
            {"trial": trial["trial"], "searched_accuracy": trial["accuracy"], **run}
            for trial in trials
            if "design" in trial and (run := self._runs.get(self._member_key(seed, trial["trial"])))
        ]
        if len(members) < sum("design" in trial for trial in trials):
            members = []  # a part of the front is not the front
        if not rungs and not trials:
            return None
        labels = self.dataset(seed)[0].validation.y
        seconds = search["seconds"] if search else None
        majority = float(np.bincount(labels).max() / len(labels))
        return SeedRuns(seed, rungs, members, trials, seconds, len(labels), majority)

    def _rung_key(self, family: str, rung: int, rate: float | None, seed: int) -> dict[str, Any]:
        width = json.dumps(LADDERS[family].widths[rung])
        return {**self._key("ladder", seed), "family": family, "rung": rung, "width": width, "rate": rate}

    def _search_key(self, seed: int) -> dict[str, Any]:
        args = self._args
        space = Path(args.space).stem
        return {**self._key("search", seed), "label": args.label, "space": space, "trials": args.trials}

    def _member_key(self, seed: int, trial: int) -> dict[str, Any]:
        return {**self._search_key(seed), "kind": "member", "trial": trial}

    def _key(self, kind: str, seed: int) -> dict[str, Any]:
        return {
            "kind": kind,
            "data": self._args.data,
            "image_size": self._source.image_size,
            "train_limit": self._train_limit,
            "epochs": self.dataset(0)[2],  # the same for all seeds
            "seed": seed,
        }

    def _item(self, key: Mapping[str, Any], seed: int) -> Item:
        _, path, epochs = self.dataset(seed)
        return Item(key, path, epochs, self._deadline)


def data_path(name: str, source: Source, folder: Path) -> str:
    """Return the name or path that nas reads; exits with a sentence if the file is missing."""
    if not source.file:
        return name
    path = SHARED / source.file
    if not path.exists():
        raise SystemExit(
            f"--data {name} needs {source.file}, which is not in {SHARED}; set NAS_SHARED to the folder that "
            "contains data/"
        )
    return str((sort_by_label(path, folder / name) if path.is_dir() else path).resolve())


def sort_by_label(source: Path, target: Path) -> Path:
    """Copy the images that labels.csv (columns file, label) lists into a folder for each label."""
    with (source / "labels.csv").open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            image = source / row["file"]
            (target / row["label"]).mkdir(parents=True, exist_ok=True)
            shutil.copyfile(image, target / row["label"] / image.name)
    return target


def search(task: Task, out: Path) -> None:
    """Search with default options in this process; write a line for each trained trial."""
    import nas

    options = dict(task.options or {})
    result = nas.search(
        task.space,
        data=task.data,
        train_limit=task.train_limit,
        epochs=task.epochs,
        seed=task.seed,
        split_seed=task.seed,
        **options,
    )
    front = {trial.number for trial in result.front}
    with out.open("a", encoding="utf-8") as lines:
        for trial in result.trials:
            if "accuracy" not in trial.values:
                continue
            line: dict[str, Any] = {"trial": trial.number, "state": trial.state, "epochs": trial.epochs}
            line |= {name: trial.values.get(name) for name in ("accuracy", "params", "latency_ms")}
            line["seconds"] = sum(trial.seconds.values())
            if trial.number in front:
                line["design"] = trial.design.architecture.to_dict(trial.design.training)
            lines.write(json.dumps(line) + "\n")


def arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = common_parser(__doc__)
    parser.add_argument("--data", choices=SOURCES, default="digits")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--trials", type=int, default=50, help="of each search")
    parser.add_argument("--epochs", type=int, help="of a full training (default: as in a search)")
    parser.add_argument("--train-limit", type=int, help="training examples (default: by data set)")
    parser.add_argument("--families", default=",".join(LADDERS), help="names, comma-separated")
    parser.add_argument("--only", choices=["ladder", "search"], default="", help="leave the other part out")
    parser.add_argument("--label", default=f"{version('nas')} current", help="names the runs of the search")
    parser.add_argument("--runs", type=Path, help="file of finished runs, to resume")
    parser.add_argument("--limit-minutes", type=float, default=float("inf"), help="then start nothing new")
    parser.add_argument("--processes", type=int, default=min(2, os.cpu_count() or 1))
    for name in ("--contender", "--task", "--out"):
        parser.add_argument(name, help=argparse.SUPPRESS)
    args = parser.parse_args(words)
    args.families = args.families.split(",")
    if unknown := set(args.families) - LADDERS.keys():
        parser.error(f"families must be some of {', '.join(LADDERS)}, got {', '.join(sorted(unknown))}")
    args.space = absolute_path(args.space)
    return args


def main(words: Sequence[str] | None = None) -> None:
    """Parse the options, do the runs that are missing, and print the result."""
    args = arguments(words)
    if args.contender:
        search(Task.read(args.task), Path(args.out))
        return
    environment = conditions()
    with tempfile.TemporaryDirectory() as folder:
        comparison = Comparison(args, Path(folder), Runs(args.runs))
        comparison.run(args.only)
        found = [runs for seed in range(args.seeds) if (runs := comparison.found(seed))]
        epochs = comparison.dataset(0)[2]
    source = SOURCES[args.data]
    result = {
        "benchmark": "against_hand",
        "task": {
            "data": args.data,
            "image_size": source.image_size,
            "train_limit": args.train_limit or source.train_limit,
            "epochs": epochs,
            "space": Path(args.space).stem,
            "trials": args.trials,
            "label": args.label,
        },
        **summarize(found),
        "conditions": environment,
    }
    emit(f"against_hand-{args.data}", result, text_of(result), args.json, not args.no_keep)


if __name__ == "__main__":
    main()
