"""Trials run in worker processes of this machine that live through the search.

Each worker is a pool of one process (pebble), so that a trial that goes on can be sent to the worker
that still holds its network. Jobs wait here, not with a worker, so that none waits for one worker while
another is free. A worker that dies costs the job it was running; the pool starts another.
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

import psutil

from nas.errors import EvaluationError, InputError
from nas.evaluation import Evaluation, Job, evaluate, load_tensorflow

__all__ = ["LocalProcesses", "worker_count"]

WORKER_MB = 1500.0
"""What a worker needs: TensorFlow, a small network's training, and room to grow."""


CLOSED = "the search was closed before this trial ended"


def worker_count(requested: int | None = None) -> int:
    """Return the number of worker processes: the requested one, or one per core within the free memory.

    0 means that this process trains. Raises InputError for a negative number.
    """
    if requested is not None:
        if requested < 0:
            raise InputError(f"--workers must be 0 or more, got {requested}; omit it to use one per core")
        return requested
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores, int(psutil.virtual_memory().available / 2**20 / WORKER_MB)))


def _warm_up(warm: Callable[[], None]) -> None:
    """Start a worker: deaf to Ctrl-C, which the parent handles, and gone when the parent is."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()

    def die_with_parent() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=die_with_parent, daemon=True).start()
    warm()


def _nothing() -> None:
    """Run in a new worker to learn that it is warm."""


@dataclass
class _Worker:
    """A pool of one process, whether it has a job, and which trials' networks it holds."""

    pool: object
    busy: bool = False
    holds: set[int] = field(default_factory=set)


class LocalProcesses:
    """Runs jobs in `workers` spawned processes; a job may last `timeout_seconds`.

    A worker whose memory passes its share of the machine is replaced by a fresh one, once that is warm.
    `run` and `warm` are what a worker does for a job and at its start; both must be importable.
    """

    def __init__(
        self,
        workers: int,
        timeout_seconds: float | None = None,
        memory_limit_mb: float | None = None,
        run: Callable[[Job], Evaluation] = evaluate,
        warm: Callable[[], None] = load_tensorflow,
    ) -> None:
        self.workers = workers
        self._timeout = timeout_seconds
        self._limit_mb = memory_limit_mb or max(
            WORKER_MB, 0.6 * psutil.virtual_memory().total / 2**20 / workers
        )
        self._run, self._warm = run, warm
        self._lock = threading.RLock()
        self._closed = False
        self._replacing: set[int] = set()
        self._pools = [self._start() for _ in range(workers)]
        self._retired: list[_Worker] = []
        self._open: set[Future[Evaluation]] = set()
        self._waiting: list[tuple[Job, Future[Evaluation]]] = []  # that no worker has yet, oldest first

    def _start(self) -> _Worker:
        from pebble import ProcessPool

        context = multiprocessing.get_context("spawn")
        pool = ProcessPool(1, initializer=_warm_up, initargs=(self._warm,), context=context)
        pool.schedule(_nothing)
        return _Worker(pool)

    def submit(self, job: Job) -> Future[Evaluation]:
        """Send the job to a worker that is free, or line it up."""
        done: Future[Evaluation] = Future()
        with self._lock:
            self._open.add(done)
            self._waiting.append((job, done))
        self._dispatch()
        return done

    def _dispatch(self) -> None:
        """Give every free worker a job, as long as there are any."""
        with self._lock:
            while not self._closed and (pairs := self._pairs()):
                _, turn, place = min(pairs)
                worker = self._pools[place]
                job, done = self._waiting.pop(turn)
                try:
                    inner = worker.pool.schedule(self._run, args=(job,), timeout=self._timeout)  # type: ignore[attr-defined]
                except RuntimeError as error:  # pebble's, for a pool whose process can't be started any more
                    self._open.discard(done)
                    done.set_exception(EvaluationError(f"its worker process cannot be started: {error}"))
                    continue
                worker.busy = True
                worker.holds.add(job.number)
                inner.add_done_callback(partial(self._finish, done=done, worker=worker, place=place))

    def _pairs(self) -> list[tuple[int, int, int]]:
        """Give each free worker's place with each waiting job's turn, and before them the pair's rank.

        Best is a worker that holds the network of the job's trial, worst one where another worker does.
        """
        held = {number for worker in self._pools for number in worker.holds}
        return [
            (0 if job.number in worker.holds else 1 if job.number not in held else 2, turn, place)
            for place, worker in enumerate(self._pools)
            if not worker.busy
            for turn, (job, _) in enumerate(self._waiting)
        ]

    def _finish(
        self, finished: Future[Evaluation], done: Future[Evaluation], worker: _Worker, place: int
    ) -> None:
        error = None if finished.cancelled() else finished.exception()
        with self._lock:
            worker.busy = False
            if error is not None:
                worker.holds.clear()
            if done not in self._open:
                return  # closed in the meantime
            self._open.discard(done)
        self._dispatch()
        if finished.cancelled():
            done.set_exception(EvaluationError(CLOSED))
        elif error is None:
            result = finished.result()
            if result.memory_mb > self._limit_mb:
                self._replace(worker, place)
            done.set_result(result)
        else:
            done.set_exception(self._explained(error))

    def _explained(self, error: BaseException) -> EvaluationError:
        from pebble import ProcessExpired

        if isinstance(error, EvaluationError):
            return error
        if isinstance(error, ProcessExpired):
            return EvaluationError(f"its worker process died with exit code {error.exitcode}")
        if isinstance(error, FutureTimeout):
            return EvaluationError(f"it took longer than the limit of {self._timeout:.0f} s")
        reason = str(error).strip().splitlines()[0] if str(error).strip() else "no message"
        return EvaluationError(f"{type(error).__name__}: {reason}")

    def _replace(self, worker: _Worker, place: int) -> None:
        """Start a fresh worker and put it in the old one's place once it is warm."""
        with self._lock:
            if self._closed or place in self._replacing or self._pools[place] is not worker:
                return
            self._replacing.add(place)
        fresh = self._start()

        def swap(_: Future[None]) -> None:
            with self._lock:
                self._pools[place] = fresh
                self._replacing.discard(place)
                self._retired.append(worker)
                closed = self._closed
            self._dispatch()
            worker.pool.close()  # type: ignore[attr-defined]  # ends by itself after the job it has
            if closed:
                fresh.pool.stop()  # type: ignore[attr-defined]

        fresh.pool.schedule(_nothing).add_done_callback(swap)  # type: ignore[attr-defined]

    def close(self) -> None:
        """Kill all workers; jobs that have not finished fail."""
        with self._lock:
            self._closed = True
            pools = [worker.pool for worker in (*self._pools, *self._retired)]
        for pool in pools:
            pool.stop()  # type: ignore[attr-defined]
        for pool in pools:
            pool.join()  # type: ignore[attr-defined]
        with self._lock:
            left, self._open = self._open, set()
        for done in left:  # a pool that was stopped at its start leaves its jobs as they are
            done.set_exception(EvaluationError(CLOSED))
