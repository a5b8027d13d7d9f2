"""What the benchmarks share: the machine, the versions, processes that are timed, and results as files."""

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
    "arguments",
    "conditions",
    "emit",
    "located",
    "median",
    "networks",
    "picture",
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
"""Taken out of the environment: each contender starts as it would on a fresh machine."""


@dataclass(frozen=True)
class Task:
    """What every contender of a comparison gets, as plain data: the same data, space, epochs and batch."""

    data: str
    train_limit: int | None
    space: str
    epochs: int
    seed: int = 0
    settings: tuple[Mapping[str, Any], ...] = ()  # the networks to train, where they are given
    minutes: float = 0.0  # the budget, where it is time
    options: Mapping[str, Any] | None = None  # of this script alone

    @classmethod
    def read(cls, path: str | Path) -> Task:
        """Read a task that `run_child` wrote."""
        return cls(**json.loads(Path(path).read_text(encoding="utf-8")))

    def load(self) -> tuple[Dataset, SearchSpace]:
        """Read the data, and the space bound to it."""
        from nas.data import DataOptions, load_dataset
        from nas.space import SearchSpace

        dataset = load_dataset(self.data, DataOptions(train_limit=self.train_limit))
        space = SearchSpace.load(self.space)
        return dataset, space.bind(dataset.shape, len(dataset.classes), dataset.task, dataset.rescale)


@dataclass(frozen=True)
class Outcome:
    """What a contender's process did: the lines it wrote, and its seconds from start to end."""

    lines: tuple[Mapping[str, Any], ...]
    started: float  # time.time() just before the process began
    seconds: float


def run_child(
    script: str, contender: str, task: Task, folder: Path, stop_after: float | None = None
) -> Outcome:
    """Run `script --contender NAME --task FILE --out FILE` in a process and a working folder of its own.

    The contender appends a line of JSON to --out for each trial. With stop_after (seconds) it is ended
    then, with its workers; without, any exit code but 0 raises RuntimeError with what it said.
    """
    folder.mkdir(parents=True)
    written, out = folder / "task.json", folder / "out.jsonl"
    written.write_text(json.dumps(asdict(task)), encoding="utf-8")
    out.touch()
    environment = {name: value for name, value in os.environ.items() if name not in SETTINGS}
    environment |= {"TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow"}
    words = [sys.executable, str(Path(script).resolve()), "--contender", contender]
    words += ["--task", str(written), "--out", str(out)]
    with (folder / "said.txt").open("w", encoding="utf-8") as said:
        started, clock = time.time(), time.perf_counter()
        process = subprocess.Popen(
            words, cwd=folder, env=environment, stdout=said, stderr=said, start_new_session=True
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
        tail = (folder / "said.txt").read_text(encoding="utf-8")[-2000:]
        raise RuntimeError(f"contender {contender} ended with exit code {code}:\n{tail}")
    whole = [line for line in out.read_text(encoding="utf-8").split("\n")[:-1] if line]
    return Outcome(tuple(json.loads(line) for line in whole), started, seconds)


def networks(space: SearchSpace, count: int, seed: int, most: int | None = None) -> list[dict[str, Any]]:
    """Draw settings of a bound space that build so many different networks, of `most` parameters at most."""
    import numpy as np

    from nas.architecture import network_cost
    from nas.space import sample

    rng = np.random.default_rng(seed)
    found: dict[str, dict[str, Any]] = {}
    for _ in range(200 * count):
        setting = dict(sample(space.open_values, rng))
        design = space.design(setting)
        if most is None or network_cost(design.architecture).params <= most:
            found.setdefault(design.key, setting)
        if len(found) == count:
            return list(found.values())
    raise SystemExit(
        f"the space {space.name} has only {len(found)} such networks, got --trials {count}; use fewer"
    )


def arguments(doc: str | None, contenders: Iterable[str] = ()) -> argparse.ArgumentParser:
    """Give a parser of what the benchmarks have in common; contenders are run as this script's children."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--space", default="xception_like")
    parser.add_argument("--no-keep", action="store_true", help="leave benchmarks/results as it is")
    parser.add_argument("--json", action="store_true")
    if names := list(contenders):
        parser.add_argument("--repeats", type=int, default=3)
        parser.add_argument("--seed", type=int, default=0)
        parser.add_argument("--contender", choices=names, help=argparse.SUPPRESS)
        parser.add_argument("--task", help=argparse.SUPPRESS)
        parser.add_argument("--out", help=argparse.SUPPRESS)
    return parser


def located(given: str) -> str:
    """Make a path independent of the working folder; a name stays as it is."""
    return str(Path(given).resolve()) if Path(given).exists() else given


def median(values: Iterable[float]) -> float:
    """Give the median, rounded to 4 digits that mean something."""
    return float(f"{statistics.median(values):.4g}")


def conditions() -> dict[str, Any]:
    """Describe the machine and the versions, without names of hosts or paths."""
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
    """Write a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


@contextmanager
def picture(path: Path) -> Iterator[Any]:
    """Give axes to draw on, and save them as a picture with grid and legend."""
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
    """Print a result; if it is to be kept, write it to results/NAME.json and NAME.md, drawn as NAME.png."""
    if keep:
        RESULTS.mkdir(exist_ok=True)
        if draw is not None:
            draw(result, RESULTS / f"{name}.png")
        (RESULTS / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        where = result["conditions"]
        machine, versions = where["machine"], where["versions"]
        about = (
            f"{where['date']}; {machine['processor']}, {machine['cores']} cores, {machine['memory_gb']} GB, "
            f"{machine['system']}, load before the run {machine['load_1_minute_before']}; "
            + ", ".join(f"{library} {number}" for library, number in versions.items())
        )
        (RESULTS / f"{name}.md").write_text(f"{text}\n\n{about}.\n", encoding="utf-8")
    print(json.dumps(result) if as_json else text)
