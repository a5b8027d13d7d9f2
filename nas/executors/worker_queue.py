"""The queue of jobs: which worker trains which, and what happens when a worker dies, hangs or grows.

Jobs are queued here and not in the workers, so that no job waits for a busy worker while another is free, and
a promoted trial can be sent to the worker that has cached its network. One thread owns the state: it reads
what the callers and the workers tell, one after another.

- A worker that dies without a job costs nothing: it is replaced.
- If one dies in a job, or makes no progress and is killed, another worker trains the job again, from the
  checkpoint that it resumed. If a second one dies in it, the job fails.
- A job that raises an unknown error is tried once more by a new worker: the error may be the worker's.
- A job that runs out of memory is tried once more if its worker had run others, whose memory it may hold.
- If DEATHS workers die in a row in one place without a job, no worker can train: all jobs fail with
  WorkerError.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import assert_never

from nas.errors import EvaluationError, WorkerError
from nas.evaluation import Evaluation, Job
from nas.executors.faults import OUT_OF_MEMORY, Fault
from nas.executors.members import Member, Patience, Place, Task
from nas.executors.worker import Began, Died, Ended, Ready, Report, Stepped, WorkerBackend

__all__ = ["WorkerQueue"]

DEATHS = 3
"""Workers that die in a row in one place, without a job, until the search ends."""

TICK = 0.2
"""Seconds between two looks at the clock."""

PAUSE = 3.0
"""Seconds between two looks at the clock from which this process counts as stopped, for example by Ctrl-Z."""

CLOSE_SECONDS = 5.0
"""Time in which a killed process ends, unless the system does not let it."""

CLOSED = "the search was closed before this trial ended"


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
        self._places = [Place() for _ in range(workers)]
        self._tasks: list[Task] = []  # that wait, the first to run first
        self._notices: list[str] = []
        self._failure: Exception | None = None  # why no job can run any more
        self._is_closed = False
        self._killed: list[Member] = []
        for place in self._places:
            place.member = self._start()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Wait until it is known whether workers can start; raise InputError or RunError if they cannot."""
        self._backend.check()

    def submit(self, job: Job) -> Future[Evaluation]:
        """Send the job to a free worker, or queue it."""
        task = Task(job, Future())
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
                event = self._next_event()
                now = time.monotonic()
                if now - last > PAUSE:
                    self._shift(now - last)
                last = now
                event()
                self._watch(time.monotonic())
                self._dispatch()
            except Exception as error:  # of this class: the caller sees it, and does not wait for ever
                self._fail_all(error)

    def _next_event(self) -> Callable[[], object]:
        try:
            return self._events.get(timeout=TICK)
        except queue.Empty:
            return _do_nothing

    def _members(self) -> list[Member]:
        pairs = [(place.member, place.successor) for place in self._places]
        return [member for pair in pairs for member in pair if member is not None]

    def _start(self) -> Member:
        member = Member(time.monotonic())

        def report(what: Report) -> None:
            self._events.put(partial(self._receive, member, what))

        try:
            member.worker = self._backend.start(report)
        except OSError as error:
            report(Died(f"could not be started ({error.strerror})"))
        return member

    def _receive(self, member: Member, report: Report) -> None:
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

        The rank is 0 if the worker has cached the network of the trial, 2 if only another worker has. A new
        worker is for a job that needs one.
        """
        cached = {number for member in self._members() for number in member.cached}

        def rank(task: Task, member: Member) -> int:
            number = task.job.number
            if task.needs_new or number in member.cached:
                return 0
            return 1 if number not in cached else 2

        return [
            (rank(task, member), position, index)
            for index, place in enumerate(self._places)
            if (member := place.member) and member.is_ready and member.task is None and not member.killed
            for position, task in enumerate(self._tasks)
            if not (task.needs_new and member.ended)
        ]

    def _end_job(self, place: Place, member: Member, result: Evaluation | Fault) -> None:
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

    def _try_again(self, task: Task, what: str) -> None:
        task.needs_new = True
        self._tasks.insert(0, task)
        self._notices.append(f"Trial {task.job.number} {what}; it is tried once more by a new worker.")

    def _succeed(self, place: Place) -> None:
        """Put a successor that is ready in the place of a worker without a job."""
        if place.successor and place.successor.is_ready and place.member and place.member.task is None:
            self._replace(place)

    def _replace(self, place: Place) -> None:
        if place.member is not None:
            place.member.kill()
        place.member, place.successor = place.successor or self._start(), None

    def _bury(self, place: Place, member: Member, died: Died) -> None:
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
            cause = f"probably {OUT_OF_MEMORY}: " if died.memory_suspected else ""
            reason = f"{cause}two workers died in it, and the last one {how}"
            task.future.set_exception(EvaluationError(reason))
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

    def _end_out_of_memory(self, task: Task, is_first: bool) -> None:
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
            if not member.killed and silent > member.patience(self._patience):
                member.killed = f"made no progress for {silent:.0f} s and was killed"
                member.kill()  # what follows, when it is dead: until then it may write

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
        self._is_closed = True
        self._fail_all(EvaluationError(CLOSED))
        self._dispatch()


def _do_nothing() -> None:
    """Happen when nothing else does."""


def _no_workers(how: str) -> WorkerError:
    return WorkerError(
        f"a search needs workers that can train, got {DEATHS} in a row that died without a trial, and the "
        f"last {how}; fix the cause, which --workers 0 may show, and resume the search: its record has every "
        "trial that ended"
    )
