"""Where trials are trained: in this process, or in local worker processes."""

from nas.executors.executor import Executor
from nas.executors.in_process import InProcess
from nas.executors.local import LocalProcesses, worker_count

__all__ = ["Executor", "InProcess", "LocalProcesses", "worker_count"]
