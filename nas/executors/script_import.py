"""Check that worker processes can import the calling script, as spawned processes do."""

from __future__ import annotations

import multiprocessing
import os
import sys

from nas.errors import InputError, RunError

__all__ = ["ScriptImport", "exit_if_imported_by_worker"]

UNGUARDED = 87
"""Exit code of a worker process in which the script, while it is imported, calls the product."""


def exit_if_imported_by_worker() -> None:
    """End this process if it is a worker that imports the calling script, which would run all its work again.

    `ScriptImport.check` raises the error in the process that started the worker.
    """
    if getattr(multiprocessing.current_process(), "_inheriting", False):  # as multiprocessing itself asks
        os._exit(UNGUARDED)


class ScriptImport:
    """A process that only imports the script, as each worker does, while the workers start."""

    def __init__(self) -> None:
        """Start the process; raise InputError for a script that is no file."""
        if _script() == "<stdin>":
            raise InputError(
                "worker processes import the calling script, which must be a file, got '<stdin>'; "
                "save it as a file, or use workers=0"
            )
        self._process = multiprocessing.get_context("spawn").Process(target=os.getpid, daemon=True)
        self._process.start()

    def check(self) -> None:
        """Wait for the import; raise InputError for a script without a guard, RunError if it failed."""
        self._process.join()
        code = self._process.exitcode
        if code == 0:
            return
        if code == UNGUARDED:
            raise InputError(
                "worker processes import the calling script, so that it must call nas under "
                f"if __name__ == \"__main__\":, got a call at the top level of '{_script()}'; add that line, "
                "or use workers=0"
            )
        raise RunError(
            f"worker processes import the calling script, got exit code {code} when one imported "
            f"'{_script()}' (its message is above); put what only the first process may do under "
            'if __name__ == "__main__":, or use workers=0'
        )


def _script() -> str:
    """Return the path of the script that runs in this process, '' in an interactive session."""
    return os.path.basename(getattr(sys.modules["__main__"], "__file__", None) or "")
