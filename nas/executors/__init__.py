"""Run the training of trials, in this process or in worker processes of this machine."""

from nas.executors.executor import Executor
from nas.executors.in_process import InProcess
from nas.executors.local import LocalProcesses, worker_count

__all__ = ["Executor", "InProcess", "LocalProcesses", "worker_count"]
