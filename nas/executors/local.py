"""Train trials in worker processes of this machine that live as long as the search.

Each worker is a pool of one process (pebble), so that a promoted trial can be sent to the worker that has
cached its network. Jobs are queued here and not in the workers, so that no job waits for a busy worker while
another is free. If a worker dies, its job fails and the pool starts another worker.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import psutil

from nas.errors import EvaluationError, InputError
from nas.evaluation import Evaluation, Evaluator, Job
from nas.executors.executor import JobEvaluator
from nas.executors.script_import import ScriptImport

__all__ = ["LocalProcesses", "worker_count"]

WORKER_MB = 1500.0
"""Memory of a worker: TensorFlow, the training of a small network, and a reserve."""

CLOSED = "the search was closed before this trial ended"


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


_evaluator: JobEvaluator
"""The evaluator of a worker process, which lives as long as the process."""


def _start_worker(create_evaluator: Callable[[], JobEvaluator]) -> None:
    """Initialize a worker: it ignores Ctrl-C, which the parent handles, and exits with the parent."""
    global _evaluator
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()

    def exit_with_parent() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=exit_with_parent, daemon=True).start()
    _evaluator = create_evaluator()


def _evaluate(job: Job) -> Evaluation:
    return _evaluator.evaluate(job)


def _do_nothing() -> None:
    """Run in a new worker; when it returns, the worker is initialized."""


@dataclass
class _Worker:
    """A pool of one process, whether it runs a job, and the numbers of the trials that it has cached."""

    pool: Any
    busy: bool = False
    cached: set[int] = field(default_factory=set)


class LocalProcesses:
    """Runs jobs in spawned processes; a job may last `timeout_seconds`.

    A worker that exceeds `memory_limit_mb`, by default its share of the machine's memory, is replaced as
    soon as a new one is initialized. Each worker calls `create_evaluator` once, at its start; the function
    must be picklable.
    """

    def __init__(
        self,
        workers: int,
        timeout_seconds: float | None = None,
        memory_limit_mb: float | None = None,
        create_evaluator: Callable[[], JobEvaluator] = Evaluator,
    ) -> None:
        self.workers = workers
        self._timeout = timeout_seconds
        self._limit_mb = memory_limit_mb or max(
            WORKER_MB, 0.6 * psutil.virtual_memory().total / 2**20 / workers
        )
        self._create_evaluator = create_evaluator
        self._lock = threading.RLock()
        self._closed = False
        self._replacing: set[int] = set()  # indices of workers
        self._script = ScriptImport()
        self._workers = [self._start() for _ in range(workers)]
        self._retired: list[_Worker] = []
        self._unfinished: set[Future[Evaluation]] = set()
        self._queue: list[tuple[Job, Future[Evaluation]]] = []  # oldest first

    def _start(self) -> _Worker:
        from pebble import ProcessPool

        context = multiprocessing.get_context("spawn")
        pool = ProcessPool(1, initializer=_start_worker, initargs=(self._create_evaluator,), context=context)
        pool.schedule(_do_nothing)
        return _Worker(pool)

    def check(self) -> None:
        """Wait until a process has imported the calling script; raise InputError or RunError if it cannot."""
        self._script.check()

    def submit(self, job: Job) -> Future[Evaluation]:
        """Send the job to a free worker, or queue it."""
        future: Future[Evaluation] = Future()
        with self._lock:
            self._unfinished.add(future)
            self._queue.append((job, future))
        self._dispatch()
        return future

    def _dispatch(self) -> None:
        """Send queued jobs to free workers."""
        with self._lock:
            while not self._closed and (assignments := self._possible_assignments()):
                _, position, index = min(assignments)
                worker = self._workers[index]
                job, future = self._queue.pop(position)
                try:
                    inner = worker.pool.schedule(_evaluate, args=(job,), timeout=self._timeout)
                except RuntimeError as error:  # by pebble, if the pool cannot start a process any more
                    self._unfinished.discard(future)
                    future.set_exception(EvaluationError(f"its worker process cannot be started: {error}"))
                    continue
                worker.busy = True
                worker.cached.add(job.number)
                inner.add_done_callback(partial(self._finish, future=future, worker=worker, index=index))

    def _possible_assignments(self) -> list[tuple[int, int, int]]:
        """Return (rank, position in the queue, index of the worker) of each queued job and free worker.

        The rank is 0 if the worker has cached the network of the trial, 2 if only another worker has.
        """
        cached = {number for worker in self._workers for number in worker.cached}
        return [
            (0 if job.number in worker.cached else 1 if job.number not in cached else 2, position, index)
            for index, worker in enumerate(self._workers)
            if not worker.busy
            for position, (job, _) in enumerate(self._queue)
        ]

    def _finish(
        self, inner: Future[Evaluation], future: Future[Evaluation], worker: _Worker, index: int
    ) -> None:
        """Pass the result of pebble's future on, and send the next job to the worker."""
        error = None if inner.cancelled() else inner.exception()
        with self._lock:
            worker.busy = False
            if error is not None:
                worker.cached.clear()
            if future not in self._unfinished:
                return  # the executor was closed in the meantime
            self._unfinished.discard(future)
        self._dispatch()
        if inner.cancelled():
            future.set_exception(EvaluationError(CLOSED))
        elif error is None:
            result = inner.result()
            if result.memory_mb > self._limit_mb:
                self._replace(worker, index)
            future.set_result(result)
        else:
            future.set_exception(self._describe(error))

    def _describe(self, error: BaseException) -> EvaluationError:
        from pebble import ProcessExpired

        if isinstance(error, EvaluationError):
            return error
        if isinstance(error, ProcessExpired):
            return EvaluationError(f"its worker process died with exit code {error.exitcode}")
        if isinstance(error, FutureTimeout):
            return EvaluationError(f"it took longer than the limit of {self._timeout:.0f} s")
        reason = str(error).strip().splitlines()[0] if str(error).strip() else "no message"
        return EvaluationError(f"{type(error).__name__}: {reason}")

    def _replace(self, worker: _Worker, index: int) -> None:
        """Start a new worker, and replace the old one when the new one is initialized."""
        with self._lock:
            if self._closed or index in self._replacing or self._workers[index] is not worker:
                return
            self._replacing.add(index)
        new = self._start()

        def swap(_: Future[None]) -> None:
            with self._lock:
                self._workers[index] = new
                self._replacing.discard(index)
                self._retired.append(worker)
                closed = self._closed
            self._dispatch()
            worker.pool.close()  # exits after its current job
            if closed:
                new.pool.stop()

        new.pool.schedule(_do_nothing).add_done_callback(swap)

    def close(self) -> None:
        """Kill all workers; unfinished jobs fail."""
        with self._lock:
            self._closed = True
            pools = [worker.pool for worker in (*self._workers, *self._retired)]
        for pool in pools:
            pool.stop()
        for pool in pools:
            pool.join()
        with self._lock:
            unfinished, self._unfinished = self._unfinished, set()
        for future in unfinished:  # a pool that is stopped while it starts does not finish its jobs
            future.set_exception(EvaluationError(CLOSED))
