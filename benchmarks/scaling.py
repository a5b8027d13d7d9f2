"""The cost of a trial in the parent process, at 10 to 5,000 recorded trials and with 1 to 16 workers.

    python benchmarks/scaling.py
    python benchmarks/scaling.py --marks 10,100,1000 --engines random,tpe
    python benchmarks/scaling.py --marks 5000 --engines random --workers 4 --folder FOLDER

Everything except training is real: an executor returns computed results at once, so that only the work of the
search itself is measured: proposals, screening, halving, the front, MLflow's database with a checkpoint for
each trial. A search with random proposals fills the record up to each mark, where its memory is measured. At
each mark each engine continues from the record in a new process, as a resumed search does. The cost of a
trial is the processor time of all threads of the parent over a number of trials, until MLflow has all of
them, and, separately, that of the loop's thread, which workers may have to wait for.

At the greatest mark, `nas front` and `nas report` read the record in processes of their own, whose whole
processor and wall time counts. `--folder` keeps the record, so that the next run does not fill it again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import resource
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
from _common import absolute_path, common_parser, conditions, emit, figure_axes, table

from nas.architecture import network_cost
from nas.data import load_dataset
from nas.engines import create_engine
from nas.evaluation import Evaluation, Job
from nas.record import SearchRecord
from nas.searching import SearchOptions, Status
from nas.searching.halving import Halving, rungs
from nas.searching.loop import Search
from nas.searching.planning import bind_space, create_plan
from nas.searching.record_writer import RecordWriter
from nas.searching.screening import Screen
from nas.searching.status import Budget
from nas.searching.trial_training import TrialTraining
from nas.space import SearchSpace

CHECKPOINT_BYTES = 100_000  # a network of 8,000 parameters with Adam's two moments
EPOCHS, REDUCTION = 9, 3
STEPS = rungs(EPOCHS, REDUCTION)
ENGINES = {"random": ("optuna", "random"), "tpe": ("optuna", "tpe"), "cheap-aware": ("cheap-aware", "")}

COMMANDS: Mapping[str, Sequence[str]] = {"front": (), "report": ("--out", "report.html")}
"""Commands that read a record, with their options."""


def copy_or_link(source: str, target: str) -> None:
    """Copy a file of the record; link artifacts, which are not changed any more."""
    if "artifacts" in Path(source).parts:
        os.link(source, target)
    else:
        shutil.copy2(source, target)


def copy_record(source: Path, target: Path) -> None:
    """Copy the folder of a search."""
    ignored = shutil.ignore_patterns("scratch")
    shutil.copytree(source, target, ignore=ignored, copy_function=copy_or_link)


class SimulatedExecutor:
    """An executor that computes results: the accuracy grows with the FLOPs and the epochs."""

    def __init__(self, workers: int, checkpoint: Path) -> None:
        self.workers = workers
        self._checkpoint = checkpoint

    def submit(self, job: Job) -> Future[Evaluation]:
        """Return a completed future."""
        noise = int(hashlib.sha256(job.design.key.encode()).hexdigest()[:8], 16) / 2**32
        size = math.log10(network_cost(job.design.architecture).flops)
        start = max((rung for rung in STEPS if rung < job.epochs), default=0) if job.resume else 0
        curve = []
        for epoch in range(start + 1, job.epochs + 1):
            accuracy = (1 - 0.6 / (epoch + 1)) / (1 + math.exp(-1.2 * (size - 4.5 + noise)))
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

    def take_notices(self) -> list[str]:
        """Return no notices: nothing goes wrong."""
        return []

    def close(self) -> None:
        """Do nothing: no job is running."""


class SegmentedSearch:
    """A search with the record in the working folder, run in segments of some trials."""

    def __init__(self, engine: str, resumed: bool, space: str) -> None:
        name, sampler = ENGINES[engine]
        dataset = load_dataset("digits")
        options = SearchOptions.parse(
            {
                "objectives": ("accuracy", "params"),
                "engine": name,
                "sampler": sampler,
                "epochs": EPOCHS,
                "reduction": REDUCTION,
                "trials": 10**9,
                "seed": 0 if not resumed else os.getpid(),
            }
        )
        objectives = options.parsed_objectives()
        self.screen = Screen(bind_space(SearchSpace.load(space), dataset), objectives, ())
        self.plan = create_plan(options, self.screen, dataset, (), (), "")
        self.record = (
            SearchRecord.resume("scaling")
            if resumed
            else SearchRecord.create("scaling", self.plan.model_dump(mode="json"), dataset)
        )
        started = time.process_time()
        trials = self.record.trials() if resumed else []
        self.status = Status(Budget(10**9))
        self.writer = RecordWriter(self.record, self.plan, trials, Path("scratch"))
        values, describe = self.screen.space.open_values, self.screen.describe
        proposer = create_engine(
            name, values, self.plan.criteria, (), describe, sampler=sampler, seed=self.plan.seed
        )
        checkpoint = Path("checkpoint.npz").absolute()
        checkpoint.write_bytes(np.random.default_rng(0).bytes(CHECKPOINT_BYTES))
        self.executor = SimulatedExecutor(1, checkpoint)
        halving = Halving(STEPS, REDUCTION, self.plan.criteria)
        training = TrialTraining([Path("data")], Path("scratch").absolute(), self.plan.seed)
        self.search = Search(
            self.screen, proposer, self.executor, halving, self.writer, training, self.status
        )
        self.search.replay(trials)
        self.resume_seconds = time.process_time() - started

    def run_segment(self, until: int, workers: int) -> dict[str, float]:
        """Search until `until` trials have a number; return the cost per new trial."""

        def show(status: Status) -> None:
            if status.numbered >= until and not status.ended_by:
                raise KeyboardInterrupt  # stops as with Ctrl-C, while trials are still promoted

        self.executor.workers = workers
        before = len(self.status.trials)
        self.status.ended_by = ""
        wall, processor, loop = time.perf_counter(), time.process_time(), time.thread_time()
        self.search.run(show)
        loop = time.thread_time() - loop
        self.record.flush()  # MLflow has all of them
        processor, wall = time.process_time() - processor, time.perf_counter() - wall
        count = len(self.status.trials) - before
        if len(self.status.trials) < until:
            raise SystemExit(
                f"the space must have {until:,} networks, but {self.status.ended_by}; use a larger space"
            )
        return {
            "recorded": before,
            "workers": workers,
            "trials": count,
            "loop_ms": 1000 * loop / count,
            "parent_cpu_ms": 1000 * processor / count,
            "wall_ms": 1000 * wall / count,
        }


def memory_mb() -> float:
    """Return the resident memory of this process in MiB."""
    import psutil

    return float(psutil.Process().memory_info().rss / 2**20)


def fill(space: str, marks: Sequence[int]) -> None:
    """Fill the record up to each mark; print cost and memory there, and wait for a line on stdin."""
    search = SegmentedSearch("random", resumed=Path("mlruns").exists(), space=space)
    for mark in marks:
        is_new = mark > search.status.numbered  # else the folder had it from an earlier run
        figures = search.run_segment(mark, workers=2) if is_new else {}
        search.record.flush()
        print(json.dumps({**figures, "mark": mark, "memory_mb": memory_mb()}), flush=True)
        if not sys.stdin.readline():  # the parent has ended
            return


def continue_search(space: str, engine: str, workers: Sequence[int], window: int) -> None:
    """Continue from the record with an engine: a warm-up, then a window for each number of workers."""
    search = SegmentedSearch(engine, resumed=True, space=space)
    count = search.status.numbered + max(5, window // 4)
    search.run_segment(count, workers[0])
    for number in workers:
        count = search.status.numbered + window
        figures = search.run_segment(count, number)
        print(json.dumps({**figures, "engine": engine, "resume_cpu_seconds": search.resume_seconds}))
    search.record.finish("complete")


def read_record(folder: Path, environment: Mapping[str, str]) -> dict[str, float]:
    """Return the wall and processor seconds of the processes of commands that read a record."""
    found = {}
    call = "import sys; from nas.cli import main; main(sys.argv[1:])"
    for name, options in COMMANDS.items():
        wall, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(
            [sys.executable, "-c", call, name, "scaling", *options],
            cwd=folder,
            env=environment,
            stdout=subprocess.DEVNULL,
            check=True,
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        found[f"{name}_wall_seconds"] = time.perf_counter() - wall
        found[f"{name}_cpu_seconds"] = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return found


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Fill a record, and at each mark measure each engine on a copy of it."""
    measured_on = conditions()
    marks, workers = numbers(args.marks), numbers(args.workers)
    space = absolute_path(args.space)
    command = [sys.executable, str(Path(__file__).resolve()), "--space", space]
    environment = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    environment["TF_CPP_MIN_LOG_LEVEL"] = "3"
    environment["OPENBLAS_NUM_THREADS"] = "1"  # as set by `nas`
    filled: list[dict[str, Any]] = []
    reading: list[dict[str, Any]] = []
    windows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as scratch:
        main_folder = Path(args.folder or Path(scratch, "main")).absolute()
        main_folder.mkdir(parents=True, exist_ok=True)
        filler = subprocess.Popen(
            [*command, "--fill", args.marks],
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
                if mark == marks[-1]:
                    copy = Path(scratch, f"{mark}-read")
                    copy_record(main_folder, copy)
                    reading.append({"mark": mark, **read_record(copy, environment)})
                    print(f"  {reading[-1]}", file=sys.stderr)
                    shutil.rmtree(copy)
                for engine in args.engines.split(","):
                    copy = Path(scratch, f"{mark}-{engine}")
                    copy_record(main_folder, copy)
                    more = [
                        "--continue-with",
                        engine,
                        "--window",
                        str(args.window),
                        "--workers",
                        args.workers,
                    ]
                    done = subprocess.run(
                        [*command, *more],
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
        "reading": reading,
        "windows": windows,
        "task": {"space": Path(space).stem, "marks": marks, "workers": workers, "window": args.window},
        "conditions": measured_on,
    }


def numbers(text: str) -> list[int]:
    """Parse comma-separated integers."""
    return [int(word) for word in text.split(",")]


def figure(result: Mapping[str, Any], path: Path) -> None:
    """Plot the cost of a trial over the recorded trials, one line for each engine and number of workers."""
    styles = ("-", "--", ":")
    with figure_axes(path) as axes:
        for color, engine in enumerate(dict.fromkeys(window["engine"] for window in result["windows"])):
            for style, workers in enumerate(result["task"]["workers"]):
                found = [w for w in result["windows"] if (w["engine"], w["workers"]) == (engine, workers)]
                axes.plot(
                    [window["recorded"] + window["trials"] / 2 for window in found],
                    [window["parent_cpu_ms"] for window in found],
                    color=f"C{color}",
                    linestyle=styles[style % len(styles)],
                    label=f"{engine}, {workers} workers",
                )
        axes.set(
            xscale="log", yscale="log", xlabel="recorded trials", ylabel="ms of processor time per trial"
        )


def text_of(result: Mapping[str, Any]) -> str:
    """Return the result as Markdown."""
    workers = result["task"]["workers"]
    is_complete = {window["engine"] for window in result["windows"]} == set(ENGINES)
    cells: dict[tuple[str, int], list[str]] = {}
    for found in result["windows"]:
        cell = f"{found['parent_cpu_ms']:.0f} ({found['loop_ms']:.0f})"
        cells.setdefault((found["engine"], found["mark"]), []).append(cell)
    rows = [(engine, f"{mark:,}", *row) for (engine, mark), row in cells.items()]
    head = (
        "engine",
        "recorded trials",
        *(f"{number} worker{'s' * (number > 1)}" for number in workers),
    )
    resumed = {
        found["mark"]: found["resume_cpu_seconds"]
        for found in result["windows"]
        if found["engine"] == result["windows"][0]["engine"]
    }
    reading = [
        (
            f"{found['mark']:,}",
            *(
                f"{found[f'{name}_cpu_seconds']:.1f} ({found[f'{name}_wall_seconds']:.1f})"
                for name in COMMANDS
            ),
            f"{resumed[found['mark']]:.1f}",
        )
        for found in result["reading"]
    ]
    memory = ", ".join(f"{float(mb):.0f} MB at {int(mark):,}" for mark, mb in result["memory_mb"].items())
    return "\n\n".join(
        (
            "# The cost of a trial in the parent process",
            f"At {result['trials']:,} recorded trials, a trial takes at most "
            f"{result['worst_parent_cpu_ms']:.0f} ms of processor time in all threads of the parent, "
            f"including the record, and at most {result['worst_loop_ms']:.0f} ms in the thread of the loop.",
            "Milliseconds of processor time per new trial, including halving and the record (in parentheses: "
            "the thread of the loop):",
            table(head, rows),
            "Seconds of processor time of commands that read the record (in parentheses: wall time), and to "
            f"replay it when the search is resumed with {result['windows'][0]['engine']}:",
            table(("recorded trials", "`nas front`", "`nas report`", "resume"), reading),
            *([f"Memory of a single search that starts empty: {memory}."] if is_complete else []),
            *(["![Cost of a trial over recorded trials](scaling.png)"] if is_complete else []),
        )
    )


def main() -> None:
    """Parse the options, measure, and print the result."""
    parser = common_parser(__doc__)
    parser.add_argument("--marks", default="10,100,1000,5000", help="numbers of recorded trials")
    parser.add_argument("--engines", default=",".join(ENGINES))
    parser.add_argument("--workers", default="1,4,16")
    parser.add_argument("--window", type=int, default=40, help="number of new trials for each figure")
    parser.add_argument("--folder", help="where the filled record is kept for the next run")
    parser.add_argument("--fill", help=argparse.SUPPRESS)
    parser.add_argument("--continue-with", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.fill:
        fill(args.space, numbers(args.fill))
    elif args.continue_with:
        continue_search(args.space, args.continue_with, numbers(args.workers), args.window)
    else:
        result = measure(args)
        is_complete = args.engines == ",".join(ENGINES)
        name = "scaling" if is_complete else f"scaling-{args.engines}"
        emit(name, result, text_of(result), args.json, not args.no_keep, figure if is_complete else None)


if __name__ == "__main__":
    main()
