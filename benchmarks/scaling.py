"""What a trial costs the parent process, at 10 to 5,000 recorded trials and with 1 to 16 workers.

    python benchmarks/scaling.py
    python benchmarks/scaling.py --marks 10,100,1000 --engines random,tpe

Everything is real but the training: an executor looks the result up at once, so that only the search's own
work shows: proposing, screening, halving, the front, MLflow's database with a checkpoint for each trial.
One search by random proposals fills the record up to each mark; its memory is measured there. At each
mark each engine goes on from the record in a fresh process, as a resumed search does. A trial's cost is
the processor time of all of the parent's threads, from one end to the other of a number of trials, until
MLflow has them all; and, apart, that of the loop's own thread, for which workers could wait.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np
from _common import arguments, conditions, emit, located, picture, table

from nas.architecture import network_cost
from nas.data import load_dataset
from nas.evaluation import Evaluation, Job
from nas.record import Record
from nas.searching import Plan, Status, session
from nas.searching.halving import Halving, rungs
from nas.searching.loop import Search, TrialTraining
from nas.searching.plan import bound_space
from nas.searching.screening import Screen
from nas.searching.status import Budget
from nas.space import SearchSpace

CHECKPOINT_BYTES = 100_000  # a network of 8,000 parameters with Adam's two moments
EPOCHS, REDUCTION = 9, 3
STEPS = rungs(EPOCHS, REDUCTION)
ENGINES = {"random": ("optuna", "random"), "tpe": ("optuna", "tpe"), "cheap-aware": ("cheap-aware", "")}


class Looked:
    """An executor that knows every result: accuracy grows with the FLOPs and the epochs."""

    def __init__(self, workers: int, checkpoint: Path) -> None:
        self.workers = workers
        self._checkpoint = checkpoint

    def submit(self, job: Job) -> Future[Evaluation]:
        """Give a future that is done."""
        luck = int(hashlib.sha256(job.design.key.encode()).hexdigest()[:8], 16) / 2**32
        size = math.log10(network_cost(job.design.architecture).flops)
        begun = max((rung for rung in STEPS if rung < job.epochs), default=0) if job.resume else 0
        curve = []
        for epoch in range(begun + 1, job.epochs + 1):
            accuracy = (1 - 0.6 / (epoch + 1)) / (1 + math.exp(-1.2 * (size - 4.5 + luck)))
            curve.append(
                {
                    "epoch": float(epoch),
                    "loss": 2.3 * (1 - accuracy),
                    "accuracy": accuracy,
                    "val_loss": 2.3 * (1 - accuracy),
                    "val_accuracy": accuracy,
                    "seconds": 1.0,
                }
            )
        target = self._checkpoint.with_name(f"checkpoint-{job.epochs}.npz")
        if not target.exists():
            target.write_bytes(self._checkpoint.read_bytes())
        values = {"accuracy": curve[-1]["val_accuracy"], "loss": curve[-1]["loss"]}
        seconds = {"build": 0.1, "trace": 1.0, "train": float(len(curve)), "validate": 0.1, "save": 0.01}
        done: Future[Evaluation] = Future()
        done.set_result(Evaluation(values, job.epochs, tuple(curve), seconds, target, 500.0))
        return done

    def close(self) -> None:
        """Nothing is left running."""


class Searching:
    """A search over the record of this folder, in legs of some trials."""

    def __init__(self, engine: str, resumed: bool, space: str) -> None:
        name, sampler = ENGINES[engine]
        dataset = load_dataset("digits")
        plan = Plan.of(
            {
                "space": {},
                "objectives": ("accuracy", "params"),
                "engine": name,
                "sampler": sampler,
                "epochs": EPOCHS,
                "reduction": REDUCTION,
                "trials": 10**9,
                "fingerprint": dataset.fingerprint,
                "seed": 0 if not resumed else os.getpid(),
            }
        )
        bound = bound_space(SearchSpace.load(space), dataset, plan.parsed_objectives())
        self.screen = Screen(bound, plan.parsed_objectives(), ())
        bounds = session._bounds(plan, self.screen)
        self.plan = plan.model_copy(update={"space": bound.data, "bounds": bounds})
        self.record = (
            Record.resume("scaling")
            if resumed
            else Record.create("scaling", self.plan.model_dump(mode="json"), dataset)
        )
        begun = time.process_time()
        trials = self.record.trials() if resumed else []
        self.log = session._RecordLog(self.record, self.plan, trials)
        self.status = Status(Budget(10**9))
        self.engine = session._engine(self.plan, self.screen, self.status)
        checkpoint = Path("checkpoint.npz").absolute()
        checkpoint.write_bytes(np.random.default_rng(0).bytes(CHECKPOINT_BYTES))
        self.executor = Looked(1, checkpoint)
        halving = Halving(STEPS, REDUCTION, self.plan.parsed_objectives(), 360)
        training = TrialTraining(Path("data"), Path("scratch").absolute(), self.plan.seed)
        self.search = Search(
            self.screen, self.engine, self.executor, halving, self.log, training, self.status
        )
        self.search.replay(trials)
        self.resume_seconds = time.process_time() - begun

    def leg(self, until: int, workers: int) -> dict[str, float]:
        """Search until so many trials are numbered; give what that cost for each new trial."""

        def show(status: Status) -> None:
            if status.numbered >= until and not status.ended_by:
                raise KeyboardInterrupt  # as a user would stop it, with halving in full swing

        self.executor.workers = workers
        before = len(self.status.trials)
        self.status.ended_by = ""
        clock, everything, loop = time.perf_counter(), time.process_time(), time.thread_time()
        self.search.run(show)
        loop = time.thread_time() - loop
        self.log._thread.submit(lambda: None).result()  # MLflow has all of them
        everything, clock = time.process_time() - everything, time.perf_counter() - clock
        count = len(self.status.trials) - before
        if len(self.status.trials) < until:
            raise SystemExit(
                f"the space must have {until:,} networks, but {self.status.ended_by}; use a larger"
            )
        return {
            "recorded": before,
            "workers": workers,
            "trials": count,
            "loop_ms": 1000 * loop / count,
            "parent_cpu_ms": 1000 * everything / count,
            "wall_ms": 1000 * clock / count,
        }


def memory_mb() -> float:
    """Give this process's resident memory."""
    import psutil

    return float(psutil.Process().memory_info().rss / 2**20)


def fill(space: str, marks: Sequence[int]) -> None:
    """Fill the record up to each mark; say the cost and the memory there, and wait to be told to go on."""
    searching = Searching("random", resumed=False, space=space)
    for mark in marks:
        figures = searching.leg(mark, workers=2)
        searching.record.flush()
        print(json.dumps({**figures, "mark": mark, "memory_mb": memory_mb()}), flush=True)
        if not sys.stdin.readline():  # whoever asked is gone
            return


def go_on(space: str, engine: str, workers: Sequence[int], window: int) -> None:
    """Go on from the record with an engine: a warm-up, then a window for each number of workers."""
    searching = Searching(engine, resumed=True, space=space)
    count = searching.status.numbered + max(5, window // 4)
    searching.leg(count, workers[0])
    for number in workers:
        count = searching.status.numbered + window
        figures = searching.leg(count, number)
        print(json.dumps({**figures, "engine": engine, "resume_cpu_seconds": searching.resume_seconds}))
    searching.record.finish("complete")


def measure(given: argparse.Namespace) -> dict[str, Any]:
    """Fill a record, and at each mark try each engine on a copy of it."""
    where = conditions()
    marks, workers = numbers(given.marks), numbers(given.workers)
    space = located(given.space)
    words = [sys.executable, str(Path(__file__).resolve()), "--space", space]
    environment = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    environment["TF_CPP_MIN_LOG_LEVEL"] = "3"
    environment["OPENBLAS_NUM_THREADS"] = "1"  # as `nas` has it
    filled: list[dict[str, Any]] = []
    windows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as scratch:
        main_folder = Path(scratch, "main")
        main_folder.mkdir()
        filler = subprocess.Popen(
            [*words, "--fill", given.marks],
            cwd=main_folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert filler.stdin is not None
        assert filler.stdout is not None
        try:
            for mark in marks:
                filled.append(json.loads(filler.stdout.readline()))
                print(f"{mark} trials: {filled[-1]}", file=sys.stderr)
                for engine in given.engines.split(","):
                    copy = Path(scratch, f"{mark}-{engine}")
                    shutil.copytree(main_folder, copy, ignore=shutil.ignore_patterns("artifacts", "scratch"))
                    more = ["--go-on", engine, "--window", str(given.window), "--workers", given.workers]
                    done = subprocess.run(
                        [*words, *more],
                        cwd=copy,
                        env=environment,
                        stdout=subprocess.PIPE,
                        text=True,
                        check=True,
                    )
                    for line in done.stdout.splitlines():
                        windows.append({"mark": mark, **json.loads(line)})
                        print(f"  {windows[-1]}", file=sys.stderr)
                    shutil.rmtree(copy)
                filler.stdin.write("\n")
                filler.stdin.flush()
            filler.stdin.close()
            filler.wait()
        finally:
            filler.kill()
    last = [found for found in windows if found["mark"] == marks[-1]]
    return {
        "benchmark": "scaling",
        "trials": marks[-1],
        "worst_loop_ms": round(max(found["loop_ms"] for found in last), 2),
        "worst_parent_cpu_ms": round(max(found["parent_cpu_ms"] for found in last), 2),
        "memory_mb": {str(found["mark"]): round(found["memory_mb"], 1) for found in filled},
        "filling": filled,
        "windows": windows,
        "task": {"space": Path(space).stem, "marks": marks, "workers": workers, "window": given.window},
        "conditions": where,
    }


def numbers(text: str) -> list[int]:
    """Read whole numbers with commas between."""
    return [int(word) for word in text.split(",")]


def figure(result: Mapping[str, Any], path: Path) -> None:
    """Draw the cost of a trial over the trials recorded, a line for each engine and number of workers."""
    styles = ("-", "--", ":")
    with picture(path) as axes:
        for place, engine in enumerate(dict.fromkeys(window["engine"] for window in result["windows"])):
            for turn, workers in enumerate(result["task"]["workers"]):
                found = [w for w in result["windows"] if (w["engine"], w["workers"]) == (engine, workers)]
                axes.plot(
                    [window["recorded"] + window["trials"] / 2 for window in found],
                    [window["parent_cpu_ms"] for window in found],
                    color=f"C{place}",
                    linestyle=styles[turn % len(styles)],
                    label=f"{engine}, {workers} workers",
                )
        axes.set(xscale="log", yscale="log", xlabel="recorded trials", ylabel="ms of processor time a trial")


def text_of(result: Mapping[str, Any]) -> str:
    """Write the result for a reader."""
    workers = result["task"]["workers"]
    cells: dict[tuple[str, int], list[str]] = {}
    for found in result["windows"]:
        cell = f"{found['parent_cpu_ms']:.0f} ({found['loop_ms']:.0f})"
        cells.setdefault((found["engine"], found["mark"]), []).append(cell)
    rows = [(engine, f"{mark:,}", *row) for (engine, mark), row in cells.items()]
    head = ("engine", "recorded trials", *(f"{number} workers" for number in workers))
    memory = ", ".join(f"{float(mb):.0f} MB at {int(mark):,}" for mark, mb in result["memory_mb"].items())
    return "\n\n".join(
        (
            "# What a trial costs the parent",
            f"At {result['trials']:,} recorded trials a trial costs the parent at most "
            f"{result['worst_parent_cpu_ms']:.0f} ms of processor time in all its threads, MLflow's record "
            f"included, of which {result['worst_loop_ms']:.0f} ms at most in the loop.",
            "Milliseconds of processor time for each new trial, halving and the record included; in brackets "
            "those of the loop's own thread:",
            table(head, rows),
            f"Memory of one search from its first trial on: {memory}.",
            "![Cost of a trial over recorded trials](scaling.png)",
        )
    )


def main() -> None:
    """Parse, measure, print."""
    parser = arguments(__doc__)
    parser.add_argument("--marks", default="10,100,1000,5000", help="recorded trials")
    parser.add_argument("--engines", default=",".join(ENGINES))
    parser.add_argument("--workers", default="1,4,16")
    parser.add_argument("--window", type=int, default=40, help="new trials for each figure")
    parser.add_argument("--fill", help=argparse.SUPPRESS)
    parser.add_argument("--go-on", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.fill:
        fill(given.space, numbers(given.fill))
    elif given.go_on:
        go_on(given.space, given.go_on, numbers(given.workers), given.window)
    else:
        result = measure(given)
        emit("scaling", result, text_of(result), given.json, not given.no_keep, figure)


if __name__ == "__main__":
    main()
