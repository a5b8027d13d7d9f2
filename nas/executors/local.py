"""Worker processes of this machine, which live as long as the search."""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import threading
import time
from collections.abc import Callable
from multiprocessing import connection
from multiprocessing.connection import Connection

import psutil

from nas.errors import InputError
from nas.evaluation import Evaluation, Evaluator, Job
from nas.executors.faults import Fault
from nas.executors.kernel_kills import memory_kills
from nas.executors.script_import import ScriptImport
from nas.executors.worker import Began, Died, Ended, JobEvaluator, Ready, Report, Stepped

__all__ = ["LocalProcesses", "worker_count"]

WORKER_MB = 1500.0
"""Memory of a worker: TensorFlow, the training of a small network, and a reserve."""

CRASHES = (-signal.SIGSEGV, -signal.SIGABRT, -signal.SIGBUS)
"""Exit codes of native code that was refused memory, or that has an error of its own."""

REPORT_SECONDS = 1.0
"""Least time between two reports of steps."""


def worker_count(requested: int | None = None) -> int:
    """Return the number of worker processes: the requested one, or one per core within the free memory.

    0: this process trains. Raises InputError for a negative number.
    """
    if requested is not None:
        if requested < 0:
            raise InputError(f"--workers must be 0 or more, got {requested}; omit it to use one per core")
        return requested
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores, int(psutil.virtual_memory().available / 2**20 / WORKER_MB)))


class LocalProcesses:
    """Starts workers as spawned processes.

    Each worker calls `create_evaluator` once, at its start; the function must be picklable.
    """

    def __init__(self, create_evaluator: Callable[[], JobEvaluator] = Evaluator) -> None:
        self._create_evaluator = create_evaluator
        self._script = ScriptImport()

    def check(self) -> None:
        """Wait until a process has imported the calling script; raise InputError or RunError if it cannot."""
        self._script.check()

    def memory_limit_mb(self, workers: int) -> float:
        """Return the memory of each of `workers` from which it is replaced by a new one."""
        return max(WORKER_MB, 0.6 * psutil.virtual_memory().total / 2**20 / workers)

    def start(self, report: Callable[[Report], None]) -> _LocalWorker:
        """Start a process; raises OSError."""
        return _LocalWorker(self._create_evaluator, report)


class _LocalWorker:
    """A process at the other end of a pipe, and a thread that reads the pipe and sees the process end."""

    def __init__(
        self, create_evaluator: Callable[[], JobEvaluator], report: Callable[[Report], None]
    ) -> None:
        context = multiprocessing.get_context("spawn")
        self._report = report
        self._killed_before = 0  # processes that the kernel had killed when the job began
        self._memory_limit: int = resource.RLIM_INFINITY  # of its address space in bytes
        self._pipe, theirs = context.Pipe()
        with theirs:  # the process has its own copy: the end of the process is the end of the pipe
            self._process = context.Process(target=_run, args=(theirs, create_evaluator), daemon=True)
            self._process.start()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def send(self, job: Job) -> None:
        """Begin a job; if the process is dead, its death is reported."""
        self._killed_before = memory_kills()
        try:
            self._memory_limit = _memory_limit(self._process.pid)
            self._pipe.send(job)
        except OSError:  # the process is dead: `_watch` reports it
            return

    def kill(self) -> None:
        """End the process at once, also one that is stopped."""
        self._process.kill()

    def join(self, seconds: float) -> None:
        """Wait until the process has ended, for some seconds at most."""
        self._thread.join(seconds)

    def _watch(self) -> None:
        error = ""
        while (message := self._receive()) is not None:
            if isinstance(message, str):
                error = f" ({message})"
            else:
                self._report(message)
        self._process.kill()  # it has no pipe any more
        self._process.join()
        self._pipe.close()
        self._report(self._death(self._exit_code(), error))

    def _death(self, code: int, error: str) -> Died:
        if code >= 0:
            return Died(f"ended with exit code {code}{error}")
        how = f"was killed by {_signal_name(-code)}"
        if code == -signal.SIGKILL:
            return Died(how, out_of_memory=memory_kills() > self._killed_before)
        if code in CRASHES and self._memory_limit != resource.RLIM_INFINITY:
            how = f"{how} under a limit of {self._memory_limit / 2**20:,.0f} MB (ulimit -v)"
            return Died(how, memory_suspected=True)
        return Died(how)

    def _receive(self) -> Report | str | None:
        """Return what the process sent, None if it has ended and everything was read."""
        ready = connection.wait([self._pipe, self._process.sentinel])
        if self._pipe not in ready and not self._pipe.poll():
            return None
        try:
            message: Report | str = self._pipe.recv()
        except (EOFError, OSError):
            return None
        return message

    def _exit_code(self) -> int:
        """Return the exit code; another thread, which starts a worker, may be reading it at the moment."""
        for _ in range(100):
            if self._process.exitcode is not None:
                break
            time.sleep(0.01)
        return self._process.exitcode or 0


def _memory_limit(pid: int | None) -> int:
    """Return the limit of the address space of a process; raises OSError if it has ended."""
    if not hasattr(resource, "prlimit"):  # not Linux: a worker inherits the limit of this process
        return resource.getrlimit(resource.RLIMIT_AS)[0]
    return resource.prlimit(pid or 0, resource.RLIMIT_AS)[0]


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return f"signal {number}"


def _run(pipe: Connection, create_evaluator: Callable[[], JobEvaluator]) -> None:
    """Evaluate jobs until the process is killed or its parent ends.

    The process ignores Ctrl-C, which the parent handles.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()

    def exit_with_parent() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=exit_with_parent, daemon=True).start()
    try:
        evaluator = create_evaluator()
    except Exception as error:
        pipe.send(f"{type(error).__name__}: {error}")
        raise  # the traceback is for the user: it is an error of the installation
    pipe.send(Ready())
    while True:
        try:
            job = pipe.recv()
        except (EOFError, OSError):  # the parent has ended
            return
        pipe.send(Began())
        pipe.send(Ended(_evaluate(evaluator, job, pipe)))


def _evaluate(evaluator: JobEvaluator, job: Job, pipe: Connection) -> Evaluation | Fault:
    reported = -REPORT_SECONDS

    def report(done: int, total: int) -> None:
        nonlocal reported
        now = time.monotonic()
        if now - reported >= REPORT_SECONDS:
            reported = now
            pipe.send(Stepped(done, total))

    try:
        return evaluator.evaluate(job, report)
    except Exception as error:  # whatever it is, the queue decides what it means
        return Fault.of(error, job)
