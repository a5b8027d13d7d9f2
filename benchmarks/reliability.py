"""What is lost when a search is killed, its server goes away, its disk is full, or two machines run it?

    python benchmarks/reliability.py                          everything, about 40 minutes
    python benchmarks/reliability.py --parts kills --kills 20 --no-keep

Each part runs real `nas` commands in folders of their own. `kills` and `server` simulate the trainings
(`_simulated_search.py`), so that 200 kills take minutes; `real_kills` and `size` train on digits.
"""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from _common import common_parser, conditions, emit, table

BENCHMARKS = Path(__file__).resolve().parent
SIMULATED = [sys.executable, str(BENCHMARKS / "_simulated_search.py")]
REAL = [sys.executable, "-c", "from nas.cli import main; main()"]
OPTIONS = ["--space", "xception_like", "--objectives", "accuracy,params"]
LINE = re.compile(r"trial (\d+) (paused|complete) at (\d+) epochs?.*?: accuracy ([\d.]+)%")
KILLS_PER_SEARCH = 12
READ = """
import json, os, sys, warnings
warnings.simplefilter("ignore")
import nas
for line in sys.stdin:
    os.chdir(line.strip())
    try:
        found = nas.find("x")
    except nas.errors.NasError as error:
        print(json.dumps([{}, [str(error)]]), flush=True)
        continue
    numbers = {}
    for trial in found.trials:
        at = {int(e["epoch"]): e["val_accuracy"] for e in trial.curve if "val_accuracy" in e}
        numbers[trial.number] = [trial.epochs, at, trial.values.get("accuracy")]
    print(json.dumps([numbers, [part.name + ": " + part.why for part in found.record.damage]]), flush=True)
"""


class Reader:
    """Reads the record of the search `x` of a folder, in a process of its own."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", READ], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __call__(self, folder: Path) -> tuple[dict[str, Any], list[str]]:
        """Return the recorded trials by number, and what is damaged."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(folder, file=self._process.stdin, flush=True)
        numbers, damage = json.loads(self._process.stdout.readline())
        return numbers, damage

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()


def run(
    command: Sequence[str], folder: Path, seconds: float = 300.0, **extra: str
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=seconds, env={**os.environ, **extra}
    )


def run_until(command: Sequence[str], folder: Path, seconds: float) -> tuple[list[str], int | None]:
    """Run a command; kill its process group after some seconds. Return its lines and its exit code."""
    process = subprocess.Popen(
        command,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    lines: list[str] = []
    reader = threading.Thread(target=lambda: lines.extend(process.stdout or ()))
    reader.start()
    code = None
    try:
        code = process.wait(seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    reader.join()
    return lines, code


def missing_lines(lines: Sequence[str], recorded: dict[str, Any]) -> list[str]:
    """Return the lines about trials that the record does not confirm."""
    missing = []
    for line in lines:
        if (shown := LINE.match(line)) is None:
            continue
        number, _, epochs, accuracy = shown.groups()
        epochs_recorded, at, last = recorded.get(number, (0, {}, None))
        value = at.get(epochs) if "mean of" not in line else last
        if "mean of" not in line and value is None and epochs_recorded == int(epochs):
            value = last
        if epochs_recorded < int(epochs) or value is None or abs(100 * value - float(accuracy)) > 0.06:
            missing.append(line.strip())
    return missing


def kill_searches(
    count: int, seed: int, command: Sequence[str], trials: int, longest: float
) -> dict[str, Any]:
    """Kill a search again and again at random instants, resume it, and compare lines with records."""
    rng = random.Random(seed)
    totals = {"kills": 0, "sound": 0, "lines": 0, "lost": 0, "duplicates": 0, "holes": 0, "searches": 0}
    faults: list[str] = []
    read_record = Reader()
    with tempfile.TemporaryDirectory() as temporary:
        while totals["kills"] < count:
            folder = Path(temporary, f"search{totals['searches']}")
            folder.mkdir()
            totals["searches"] += 1
            shown: list[str] = []
            for _ in range(min(KILLS_PER_SEARCH, count - totals["kills"])):
                exists = not any("there is no search" in what for what in read_record(folder)[1])
                options = ["--resume", "x"] if exists else [*OPTIONS, "--name", "x", "--trials", str(trials)]
                lines, code = run_until([*command, "search", *options], folder, rng.uniform(0.3, longest))
                if code is not None and any("in use" in line for line in lines):
                    lines, code = run_until(
                        [*command, "search", "--resume", "x"], folder, rng.uniform(0.3, longest)
                    )
                if code is not None:
                    if code != 0:
                        faults += [line.strip() for line in lines[-2:]]
                    break  # it ended before it was killed
                totals["kills"] += 1
                shown += lines
                recorded, damage = read_record(folder)
                damage = [what for what in damage if "there is no search" not in what]
                lost = missing_lines(shown, recorded)
                totals["lost"] += len(lost)
                totals["sound"] += not damage and not lost
                totals["duplicates"] += sum("has the number" in what for what in damage)
                faults += [*lost[:3], *damage[:3], *(line.strip() for line in lines if "Traceback" in line)]
            totals["lines"] += sum(LINE.match(line) is not None for line in shown)
            if any("there is no search" in what for what in read_record(folder)[1]):
                continue  # it was never alive for long enough to be created
            end = run([*command, "search", "--resume", "x"], folder)
            recorded, damage = read_record(folder)
            if end.returncode:
                faults.append(end.stderr.strip().splitlines()[-1])
            faults += damage
            totals["lost"] += len(missing_lines(shown, recorded))
            totals["holes"] += len(recorded) != max(map(int, recorded), default=-1) + 1
            doctor = run([*REAL, "doctor", "x"], folder)
            if doctor.returncode:
                faults.append(f"doctor: {(doctor.stdout + doctor.stderr).strip().splitlines()[0]}")
    read_record.close()
    return {**totals, "faults": faults[:10]}


def kills(count: int, seed: int) -> dict[str, Any]:
    """Kill searches with simulated trainings, two at a time."""
    with ThreadPoolExecutor(2) as pool:
        halves = list(
            pool.map(lambda part: kill_searches(count // 2, seed + part, SIMULATED, 40, 12.0), range(2))
        )
    return {key: halves[0][key] + halves[1][key] for key in halves[0]}


def real_kills(count: int, seed: int) -> dict[str, Any]:
    """Kill searches that train on digits."""
    return kill_searches(count, seed, REAL, 12, 45.0)


def server(seed: int) -> dict[str, Any]:
    """Stop a tracking server in the middle of a search, start it again, and resume from two folders."""
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as temporary:
        port = rng.randrange(20_000, 50_000)
        folder, other, home = (Path(temporary, name) for name in ("here", "there", "server"))
        for each in (folder, other, home):
            each.mkdir()
        os.environ["MLFLOW_TRACKING_URI"] = f"http://127.0.0.1:{port}"
        read_record = Reader()
        running = _serve(home, port)
        command = [*SIMULATED, "search", *OPTIONS, "--name", "x", "--trials", "40"]
        process = subprocess.Popen(
            command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        lines: list[str] = []
        for line in process.stdout or ():
            if not lines and line.startswith("trial 5 "):
                os.killpg(running.pid, signal.SIGKILL)
            if lines or line.startswith("trial 5 "):
                lines.append(line)
        code = process.wait()
        running.wait()
        said = [line for line in lines if "in mlruns/spool" in line]
        running = _serve(home, port)
        sync = run([*REAL, "sync"], folder)
        recorded, damage = read_record(folder)
        ended = sum(1 for number in recorded)
        pair: list[subprocess.CompletedProcess[str]] = []
        threads = [
            threading.Thread(
                target=lambda where: pair.append(
                    run([*SIMULATED, "search", "--resume", "x", "--trials", "60"], where)
                ),
                args=(where,),
            )
            for where in (folder, other)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        after, damage_after = read_record(folder)
        read_record.close()
        os.killpg(running.pid, signal.SIGKILL)
        running.wait()
    del os.environ["MLFLOW_TRACKING_URI"]
    return {
        "exit_code_without_server": code,
        "outage_said_in_lines": len(said),
        "sync": sync.stdout.strip(),
        "trials_after_sync": ended,
        "exit_codes_of_two_folders": sorted(each.returncode for each in pair),
        "trials_after_both": len(after),
        "duplicates": sum("has the number" in what for what in [*damage, *damage_after]),
    }


def _serve(home: Path, port: int) -> subprocess.Popen[bytes]:
    import urllib.request

    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--workers", "1", "--backend-store-uri", f"sqlite:///{home}/server.db"]
    command += ["--artifacts-destination", str(home / "files")]
    process = subprocess.Popen(
        command, cwd=home, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    for _ in range(600):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
                return process
        except OSError:
            time.sleep(0.2)
    raise RuntimeError("the server does not answer")


def disk(megabytes: int = 24) -> dict[str, Any]:
    """Fill a small file system during a search, free it again, and compare lines with the record."""
    with tempfile.TemporaryDirectory() as temporary:
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", temporary])
        if mounted.returncode:
            return {"skipped": "a file system cannot be mounted here"}
        try:
            folder, filler = Path(temporary), Path(temporary, "filler")
            process = subprocess.Popen(
                [*SIMULATED, "search", *OPTIONS, "--name", "x", "--trials", "40"],
                cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            )  # fmt: skip
            lines: list[str] = []
            filled = paused = 0.0
            for line in process.stdout or ():
                lines.append(line)
                if not filled and line.startswith("trial 5 "):
                    filled = time.monotonic()
                    _fill(filler)
                if filled and not paused and "paused:" in line:
                    paused = time.monotonic()
                    threading.Timer(8.0, filler.unlink).start()
            code = process.wait()
            read_record = Reader()
            recorded, damage = read_record(folder)
            read_record.close()
        finally:
            subprocess.run(["umount", "-l", temporary], check=True)
    return {
        "paused": bool(paused),
        "continued": any("continues." in line for line in lines),
        "sentence": next((line.strip() for line in lines if "paused:" in line), "").replace(temporary, "..."),
        "exit_code": code,
        "trials": len(recorded),
        "lines": sum(LINE.match(line) is not None for line in lines),
        "lost": len(missing_lines(lines, recorded)) + len(damage),
    }


def _fill(path: Path) -> None:
    """Write a file until the file system is full."""
    try:
        with path.open("wb", buffering=0) as file:
            while True:
                file.write(b"x" * 4096)
    except OSError:
        pass


def size(trials: int) -> dict[str, Any]:
    """Measure the space of a search of the default space on digits."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        done = run([*REAL, "search", "--trials", str(trials), "--name", "x"], folder, 1800)
        files = [path for path in folder.glob("mlruns/**/*") if path.is_file()]
        by_kind: dict[str, int] = {"database": 0, "weights": 0, "page": 0, "other": 0}
        for path in files:
            kind = {".db": "database", ".npz": "weights", ".html": "page"}.get(path.suffix, "other")
            by_kind[kind] += path.stat().st_size
        left = [path.name for path in Path(tempfile.gettempdir()).glob("nas-*/*")]
    return {
        "trials": trials,
        "exit_code": done.returncode,
        "megabytes": {kind: round(count / 1e6, 2) for kind, count in by_kind.items()},
        "megabytes_per_trial": round((by_kind["weights"] + by_kind["other"]) / 1e6 / trials, 3),
        "temporary_folders_left": len(left),
    }


def text_of(result: dict[str, Any]) -> str:
    """Return the result as Markdown."""
    parts: list[str] = ["# Reliability", "Real commands; each figure is a count, not a sample of times."]
    for name, what in (("kills", "simulated trainings"), ("real_kills", "trainings on digits")):
        if found := result.get(name):
            rows = [
                ["kills with SIGKILL of the process group", found["kills"]],
                ["record sound after the kill", f"{found['sound']} of {found['kills']}"],
                ["lines shown about trials", found["lines"]],
                ["of them not in the record", found["lost"]],
                ["numbers that two trials have", found["duplicates"]],
                [
                    "searches with a hole in the numbers at their end",
                    f"{found['holes']} of {found['searches']}",
                ],
                ["other faults", "; ".join(found["faults"]) or "none"],
            ]
            parts += [f"## Kills at random instants, {what}", table(["", ""], rows)]
    for name, title in (("server", "A server that is killed"), ("disk", "A full disk"), ("size", "Space")):
        if found := result.get(name):
            rows = [[key.replace("_", " "), value] for key, value in found.items()]
            parts += [f"## {title}", table(["", ""], rows)]
    return "\n\n".join(parts)


def main() -> None:
    """Parse the options, run the parts, and print the result."""
    parser = common_parser(__doc__)
    parser.add_argument("--parts", default="kills,real_kills,server,disk,size")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--real-kills", type=int, default=20)
    parser.add_argument("--trials", type=int, default=40, help="of the part size")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    steps: dict[str, Callable[[], dict[str, Any]]] = {
        "kills": lambda: kills(options.kills, options.seed),
        "real_kills": lambda: real_kills(options.real_kills, options.seed),
        "server": lambda: server(options.seed),
        "disk": disk,
        "size": lambda: size(options.trials),
    }
    result: dict[str, Any] = {"benchmark": "reliability", "conditions": conditions()}
    for part in options.parts.split(","):
        result[part] = steps[part]()
        print(part, result[part], file=sys.stderr)
    emit("reliability", result, text_of(result), options.json, not options.no_keep)


if __name__ == "__main__":
    main()
