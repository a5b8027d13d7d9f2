"""The queue of jobs: which worker trains which, and what happens when a worker dies, hangs or grows.

Jobs are queued here and not in the workers, so that no job waits for a busy worker while another is free, and
a promoted trial can be sent to the worker that has cached its network. One thread owns the state: it reads what
the callers and the workers tell, one after another.

- A worker that dies without a job costs nothing: it is replaced.
- If one dies in a job, or makes no progress and is killed, the job is trained again, by another worker, from
  the checkpoint that it resumed. If a second one dies in it, the job fails.
- A job that raises an unknown error is tried once more by a new worker, because the error may be the worker's.
- A job that runs out of memory is tried once more if its worker had run others, whose memory it may have kept.
- If the workers of one place die DEATHS times in a row without a job, no worker can train: every job fails with
  WorkerError.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from typing import assert_never

from nas.errors import EvaluationError, WorkerError
from nas.evaluation import Evaluation, Job
from nas.executors.faults import OUT_OF_MEMORY, Fault
from nas.executors.worker import Began, Died, Ended, Ready, Report, Stepped, Worker, WorkerBackend

__all__ = ["Patience", "WorkerQueue"]

DEATHS = 3
"""Workers that die in a row in one place, without a job, until the search ends."""

TICK = 0.2
"""Seconds between two looks at the clock."""

PAUSE = 3.0
"""Seconds between two looks at the clock from which this process counts as stopped, for example by Ctrl-Z."""

STEPS = 10.0
"""Multiple of the longest time between two steps after which a worker hangs."""

CLOSE_SECONDS = 5.0
"""Time in which a killed process ends, unless the system does not let it."""

CLOSED = "the search was closed before this trial ended"


@dataclass(frozen=True)
class Patience:
    """Seconds without a sign of life after which a worker is taken for dead.

    start: until a worker has started, and in a job until its first step, which includes the tracing.
    step: from then on, or 10 times the longest time between two steps of the job, if that is more.
    """

    start: float = 300.0
    step: float = 60.0


@dataclass(eq=False)
class _Task:
    """A job, and how often it was begun in vain."""

    job: Job
    future: Future[Evaluation]
    deaths: int = 0
    errors: int = 0
    needs_new: bool = False  # only a worker without earlier jobs may run it


@dataclass(eq=False)
class _Member:
    """A worker, its job, and its signs of life."""

    seen: float  # time of its last report
    worker: Worker | None = None  # None if it could not be started
    is_ready: bool = False
    task: _Task | None = None
    has_begun: bool = False  # the job
    sent: float = 0.0
    longest: float = 0.0  # seconds between two steps of the job; 0 before the first
    ended: int = 0  # number of jobs
    killed: str = ""  # why this queue has killed it
    cached: set[int] = field(default_factory=set)  # numbers of trials whose networks it has cached

    def kill(self) -> None:
        if self.worker is not None:
            self.worker.kill()


@dataclass(eq=False)
class _Place:
    """The place of a worker; a worker with too much memory is replaced when its successor is ready."""

    member: _Member | None = None
    successor: _Member | None = None
    deaths: int = 0  # in a row, without a job; a job that ends anywhere shows that workers can train


class WorkerQueue:
    """Runs jobs in workers; a job may last `timeout_seconds`. See the module for what goes wrong.

    A worker that exceeds its share of the memory is replaced as soon as a new one has started.
    """

    def __init__(
        self,
        backend: WorkerBackend,
        workers: int,
        timeout_seconds: float | None = None,
        patience: Patience | None = None,
    ) -> None:
        self.workers = workers
        self._backend, self._timeout = backend, timeout_seconds
        self._limit_mb = backend.memory_limit_mb(workers)
        self._patience = patience or Patience()
        self._events: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._places = [_Place() for _ in range(workers)]
        self._tasks: list[_Task] = []  # that wait, the first to run first
        self._notices: list[str] = []
        self._failure: Exception | None = None  # why no job can run any more
        self._is_closed = False
        self._killed: list[_Member] = []
        for place in self._places:
            place.member = self._start()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Wait until it is known whether workers can start; raise InputError or RunError if they cannot."""
        self._backend.check()

    def submit(self, job: Job) -> Future[Evaluation]:
        """Send the job to a free worker, or queue it."""
        task = _Task(job, Future())
        self._events.put(partial(self._tasks.append, task))
        return task.future

    def take_notices(self) -> list[str]:
        """Return sentences about workers that died, hung or failed since the last call."""
        count = len(self._notices)
        taken, self._notices[:count] = self._notices[:count], []
        return taken

    def close(self) -> None:
        """Kill all workers; unfinished jobs fail."""
        self._events.put(self._stop)
        self._thread.join()
        for member in self._killed:
            if member.worker is not None:
                member.worker.join(CLOSE_SECONDS)

    # The methods below run in the thread, but for the first calls of `_start`.

    def _run(self) -> None:
        last = time.monotonic()
        while not self._is_closed:
            try:
                self._next_event()()
                now = time.monotonic()
                if now - last > PAUSE:
                    self._shift(now - last)
                last = now
                self._watch(now)
                self._dispatch()
            except (
                Exception
            ) as error:  # a fault of this class: the caller sees it, and does not wait for ever
                self._fail_all(error)

    def _next_event(self) -> Callable[[], object]:
        try:
            return self._events.get(timeout=TICK)
        except queue.Empty:
            return _do_nothing

    def _members(self) -> list[_Member]:
        pairs = [(place.member, place.successor) for place in self._places]
        return [member for pair in pairs for member in pair if member is not None]

    def _start(self) -> _Member:
        member = _Member(time.monotonic())

        def report(what: Report) -> None:
            self._events.put(partial(self._receive, member, what))

        try:
            member.worker = self._backend.start(report)
        except OSError as error:
            report(Died(f"could not be started ({error.strerror})"))
        return member

    def _receive(self, member: _Member, report: Report) -> None:
        place = next((one for one in self._places if member in (one.member, one.successor)), None)
        if place is None:
            return  # it was replaced
        now = time.monotonic()
        match report:
            case Ready():
                member.is_ready = True
                self._succeed(place)
            case Began():
                member.has_begun = True
            case Stepped():
                member.longest = max(member.longest, now - member.seen)
            case Ended():
                self._end_job(place, member, report.result)
            case Died():
                self._bury(place, member, report)
            case _:
                assert_never(report)
        member.seen = now

    def _dispatch(self) -> None:
        """Send waiting jobs to free workers."""
        if self._failure is not None:
            waiting, self._tasks = self._tasks, []
            for task in waiting:
                task.future.set_exception(self._failure)
        while assignments := self._possible_assignments():
            _, position, index = min(assignments)
            member = self._places[index].member
            if member is None or member.worker is None:
                raise RuntimeError("only a worker that has started is ready")
            member.task = task = self._tasks.pop(position)
            member.cached.add(task.job.number)
            member.sent = member.seen = time.monotonic()
            member.has_begun, member.longest = False, 0.0
            member.worker.send(task.job)

    def _possible_assignments(self) -> list[tuple[int, int, int]]:
        """Return (rank, position in the queue, index of the place) of each waiting job and free worker.

        The rank is 0 if the worker has cached the network of the trial, 2 if only another worker has.
        """
        cached = {number for member in self._members() for number in member.cached}
        return [
            (0 if number in member.cached else 1 if number not in cached else 2, position, index)
            for index, place in enumerate(self._places)
            if (member := place.member) and member.is_ready and member.task is None and not member.killed
            for position, task in enumerate(self._tasks)
            if not (task.needs_new and member.ended)
            for number in (task.job.number,)
        ]

    def _end_job(self, place: _Place, member: _Member, result: Evaluation | Fault) -> None:
        task, member.task = member.task, None
        if task is None:
            return
        member.ended += 1
        for one in self._places:
            one.deaths = 0
        if isinstance(result, Evaluation):
            if result.memory_mb > self._limit_mb and place.successor is None:
                place.successor = self._start()
            self._succeed(place)
            task.future.set_result(result)
            return
        member.cached.discard(task.job.number)
        if result.kind in ("network", "storage"):
            self._succeed(place)
            task.future.set_exception(result.to_error())
            return
        self._replace(place)
        if result.kind == "memory" and member.ended > 1:
            self._try_again(task, f"failed ({result.reason}) in a worker that had trained others")
        elif result.kind == "unknown" and not task.errors:
            task.errors += 1
            self._try_again(task, f"failed ({result.reason})")
        else:
            task.future.set_exception(result.to_error())

    def _try_again(self, task: _Task, what: str) -> None:
        task.needs_new = True
        self._tasks.insert(0, task)
        self._notices.append(f"Trial {task.job.number} {what}; it is tried once more by a new worker.")

    def _succeed(self, place: _Place) -> None:
        """Put a successor that is ready in the place of a worker without a job."""
        if place.successor and place.successor.is_ready and place.member and place.member.task is None:
            self._replace(place)

    def _replace(self, place: _Place) -> None:
        if place.member is not None:
            place.member.kill()
        place.member, place.successor = place.successor or self._start(), None

    def _bury(self, place: _Place, member: _Member, died: Died) -> None:
        """Replace a worker that has died, and decide about its job."""
        how, task = member.killed or died.how, member.task
        if task is None or not member.has_begun:
            if task is not None:
                self._tasks.insert(0, task)
            place.deaths += 1
            if place.deaths >= DEATHS:
                self._fail_all(_no_workers(how))
                return
            when = "between two trials" if member.is_ready else "at its start"
            self._notices.append(
                f"A worker {how} {when}; no trial is lost, and another worker takes its place."
            )
        elif died.out_of_memory and not member.killed:
            self._end_out_of_memory(task, is_first=not member.ended)
        elif task.deaths:
            task.future.set_exception(EvaluationError(f"two workers died in it, and the last one {how}"))
        else:
            task.deaths += 1
            self._tasks.insert(0, task)
            self._notices.append(
                f"The worker of trial {task.job.number} {how}; another worker trains the trial again."
            )
        if member is place.successor:
            place.successor = None
        else:
            self._replace(place)

    def _end_out_of_memory(self, task: _Task, is_first: bool) -> None:
        """Fail a job whose worker the kernel killed, if it was the first of its worker; else try it again."""
        if is_first:
            reason = f"{OUT_OF_MEMORY}: the kernel killed its worker process"
            task.future.set_exception(EvaluationError(reason))
        else:
            self._try_again(
                task, f"ran {OUT_OF_MEMORY} in a worker that had trained others, which the kernel killed"
            )

    def _watch(self, now: float) -> None:
        """Kill workers that make no progress, and fail jobs that take longer than the limit."""
        for place in self._places:
            member = place.member
            if member and member.task and self._timeout and now - member.sent > self._timeout:
                limit = f"it took longer than the limit of {self._timeout:.0f} s"
                member.task.future.set_exception(EvaluationError(limit))
                member.task = None
                self._replace(place)
        for member in self._members():
            silent = now - member.seen
            if (
                (member.task or not member.is_ready)
                and not member.killed
                and silent > self._patience_with(member)
            ):
                member.killed = f"made no progress for {silent:.0f} s and was killed"
                member.kill()  # what follows, when it is dead: until then it may write

    def _patience_with(self, member: _Member) -> float:
        patience = self._patience
        if member.longest or (member.task and not member.has_begun):
            return max(patience.step, STEPS * member.longest)
        return patience.start

    def _shift(self, seconds: float) -> None:
        """Forget the time in which this process was stopped: the workers may have been stopped with it."""
        for member in self._members():
            member.seen += seconds
            member.sent += seconds

    def _fail_all(self, error: Exception) -> None:
        """Kill all workers, and fail all jobs that have not ended, and those that will be submitted."""
        self._failure = self._failure or error
        members, self._places = self._members(), []
        for member in members:
            member.kill()
            if member.task is not None:
                member.task.future.set_exception(error)
        self._killed += members

    def _stop(self) -> None:
        self._fail_all(EvaluationError(CLOSED))
        self._dispatch()
        self._is_closed = True


def _do_nothing() -> None:
    """Happen when nothing else does."""


def _no_workers(how: str) -> WorkerError:
    return WorkerError(
        f"a search needs workers that can train, got {DEATHS} in a row that died without a trial, and the last "
        f"one {how}; nothing of the record is lost: fix the cause, or look for it with --workers 0, and resume "
        "the search"
    )
