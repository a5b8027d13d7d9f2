"""Run the training of trials, in this process or in worker processes of this machine."""

from nas.executors.executor import Executor
from nas.executors.in_process import InProcess
from nas.executors.local import LocalProcesses, worker_count
from nas.executors.script_import import exit_if_imported_by_worker
from nas.executors.worker_queue import WorkerQueue

__all__ = [
    "Executor",
    "InProcess",
    "LocalProcesses",
    "WorkerQueue",
    "exit_if_imported_by_worker",
    "worker_count",
]
