"""Shared parts of the benchmarks: machine and versions, timed processes, and result files."""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nas.data import Dataset
    from nas.space import SearchSpace

__all__ = [
    "RESULTS",
    "Outcome",
    "Task",
    "absolute_path",
    "common_parser",
    "conditions",
    "draw_networks",
    "emit",
    "figure_axes",
    "median",
    "run_child",
    "table",
]

RESULTS = Path(__file__).parent / "results"
LIBRARIES = ("nas", "tensorflow", "keras", "keras-tuner", "optuna", "mlflow", "numpy")
SETTINGS = (
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
    "TF_ENABLE_ONEDNN_OPTS",
    "OMP_NUM_THREADS",
    "MLFLOW_TRACKING_URI",
)
"""Removed from the environment, so that each contender starts as on a fresh machine."""


@dataclass(frozen=True)
class Task:
    """The task of all contenders as plain data: the same data, space, epochs and batch size."""

    data: str
    train_limit: int | None
    space: str
    epochs: int
    seed: int = 0
    settings: tuple[Mapping[str, Any], ...] = ()  # the networks to train, if they are fixed
    minutes: float = 0.0  # the budget, if it is a time
    options: Mapping[str, Any] | None = None  # of the script's own contender

    @classmethod
    def read(cls, path: str | Path) -> Task:
        """Read a task that `run_child` wrote."""
        return cls(**json.loads(Path(path).read_text(encoding="utf-8")))

    def load(self) -> tuple[Dataset, SearchSpace]:
        """Load the data, and the space bound to it."""
        from nas.data import DataOptions, load_dataset
        from nas.space import SearchSpace

        dataset = load_dataset(self.data, DataOptions(train_limit=self.train_limit))
        space = SearchSpace.load(self.space)
        return dataset, space.bind(dataset.shape, len(dataset.classes), dataset.task, dataset.rescale)


@dataclass(frozen=True)
class Outcome:
    """The lines that a contender's process wrote, and its duration in seconds."""

    lines: tuple[Mapping[str, Any], ...]
    started: float  # time.time() just before the process began
    seconds: float


def run_child(
    script: str, contender: str, task: Task, folder: Path, stop_after: float | None = None
) -> Outcome:
    """Run `script --contender NAME --task FILE --out FILE` in a separate process and working folder.

    The contender appends a line of JSON to --out for each trial. After stop_after seconds the process is
    killed with its workers. Raises RuntimeError with the end of the output for an exit code other than 0.
    """
    folder.mkdir(parents=True)
    task_file, out = folder / "task.json", folder / "out.jsonl"
    task_file.write_text(json.dumps(asdict(task)), encoding="utf-8")
    out.touch()
    environment = {name: value for name, value in os.environ.items() if name not in SETTINGS}
    environment |= {"TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow"}
    command = [sys.executable, str(Path(script).resolve()), "--contender", contender]
    command += ["--task", str(task_file), "--out", str(out)]
    with (folder / "output.txt").open("w", encoding="utf-8") as output:
        started, clock = time.time(), time.perf_counter()
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=output, stderr=output, start_new_session=True
        )
        try:
            code = process.wait(timeout=stop_after)
        except subprocess.TimeoutExpired:
            code = 0
        finally:
            seconds = time.perf_counter() - clock
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    if code:
        tail = (folder / "output.txt").read_text(encoding="utf-8")[-2000:]
        raise RuntimeError(f"contender {contender} ended with exit code {code}:\n{tail}")
    complete = [line for line in out.read_text(encoding="utf-8").split("\n")[:-1] if line]
    return Outcome(tuple(json.loads(line) for line in complete), started, seconds)


def draw_networks(
    space: SearchSpace, count: int, seed: int, max_params: int | None = None
) -> list[dict[str, Any]]:
    """Draw settings of `count` distinct networks, of at most `max_params` parameters, from a bound space."""
    import numpy as np

    from nas.architecture import network_cost
    from nas.space import sample

    rng = np.random.default_rng(seed)
    found: dict[str, dict[str, Any]] = {}
    for _ in range(200 * count):
        setting = dict(sample(space.open_values, rng))
        design = space.design(setting)
        if max_params is None or network_cost(design.architecture).params <= max_params:
            found.setdefault(design.key, setting)
        if len(found) == count:
            return list(found.values())
    raise SystemExit(
        f"the space {space.name} has only {len(found)} such networks, got --trials {count}; use fewer"
    )


def common_parser(doc: str | None, contenders: Iterable[str] = ()) -> argparse.ArgumentParser:
    """Return a parser of the common options; contenders run as child processes of the script."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--space", default="xception_like")
    parser.add_argument("--no-keep", action="store_true", help="do not write to benchmarks/results")
    parser.add_argument("--json", action="store_true")
    if names := list(contenders):
        parser.add_argument("--repeats", type=int, default=3)
        parser.add_argument("--seed", type=int, default=0)
        parser.add_argument("--contender", choices=names, help=argparse.SUPPRESS)
        parser.add_argument("--task", help=argparse.SUPPRESS)
        parser.add_argument("--out", help=argparse.SUPPRESS)
    return parser


def absolute_path(path: str) -> str:
    """Return an existing path as an absolute one; return the name of a data set or space unchanged."""
    return str(Path(path).resolve()) if Path(path).exists() else path


def median(values: Iterable[float]) -> float:
    """Return the median, rounded to 4 significant digits."""
    return float(f"{statistics.median(values):.4g}")


def conditions() -> dict[str, Any]:
    """Return the machine and the library versions, without host names or paths."""
    import psutil

    from nas.device.machine import processor_name

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "machine": {
            "processor": processor_name(),
            "cores": cores,
            "memory_gb": round(psutil.virtual_memory().total / 2**30, 1),
            "system": f"{platform.system()} {platform.machine()}",
            "load_1_minute_before": round(os.getloadavg()[0], 2),
        },
        "versions": {"python": platform.python_version()} | {name: version(name) for name in LIBRARIES},
        "date": date.today().isoformat(),
    }


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


@contextmanager
def figure_axes(path: Path) -> Iterator[Any]:
    """Yield axes to draw on, and save the figure with grid and legend."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 5), layout="constrained")
    yield axes
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    figure.savefig(path, dpi=130)
    pyplot.close(figure)


def emit(
    name: str,
    result: Mapping[str, Any],
    text: str,
    as_json: bool,
    keep: bool,
    draw: Callable[[Mapping[str, Any], Path], None] | None = None,
) -> None:
    """Print a result; with `keep`, write it to results/NAME.json, NAME.md and, with `draw`, NAME.png."""
    if keep:
        RESULTS.mkdir(exist_ok=True)
        if draw is not None:
            draw(result, RESULTS / f"{name}.png")
        (RESULTS / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        environment = result["conditions"]
        machine, versions = environment["machine"], environment["versions"]
        about = (
            f"{environment['date']}; {machine['processor']}, {machine['cores']} cores, "
            f"{machine['memory_gb']} GB, "
            f"{machine['system']}, load before the run {machine['load_1_minute_before']}; "
            + ", ".join(f"{library} {number}" for library, number in versions.items())
        )
        (RESULTS / f"{name}.md").write_text(f"{text}\n\n{about}.\n", encoding="utf-8")
    print(json.dumps(result) if as_json else text)
