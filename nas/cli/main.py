"""The command line: all commands, and errors as one sentence."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer

from nas.cli import (
    comparing,
    confirming,
    data,
    exporting,
    measuring,
    recording,
    reporting,
    results,
    searching,
    spaces,
    training,
)
from nas.errors import NasError, NasWarning
from nas.text import printable, redacted, shortened

__all__ = ["app", "main"]

LONGEST = 2000
"""Characters of an error that are printed."""

OWN_DELIVERY = {"sync", "doctor", "clean", "-h", "--help"}
"""Commands and options after which nothing is delivered in passing."""

app = typer.Typer(
    name="nas",
    help="Finds small, fast, accurate convolutional networks for your images and your device.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
searching.add_to(app)
results.add_to(app)
confirming.add_to(app)
comparing.add_to(app)
exporting.add_to(app)
reporting.add_to(app)
recording.add_to(app)
training.add_to(app)
data.add_to(app)
measuring.add_to(app)
spaces.add_to(app)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line.

    A NasError ends it with its sentence and its exit code, a closed pipe with exit code 1 and no message. A
    command that succeeds tries to deliver what earlier ones could not deliver to MLflow.
    """
    given = sys.argv[1:] if arguments is None else arguments
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # of the sampler: the cores are for the workers
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always", NasWarning)
            warnings.showwarning = _with_sentence(warnings.showwarning)
            _run(_with_resume_value(given))
    except NasError as error:
        _print(str(error))
        sys.exit(error.exit_code)
    except MemoryError:
        _print("the input must fit into the memory, which is used up; use less data, or a machine with more")
        sys.exit(1)
    except RecursionError:
        _print("the input is nested too deeply to be read; simplify it")
        sys.exit(1)
    except OSError as error:
        if error.errno is None:
            raise
        path = f" '{error.filename}'" if error.filename else ""
        _print(f"the file system refused{path}: {error.strerror}; fix that and try again")
        sys.exit(1)


def _print(sentence: str) -> None:
    print(f"nas: {printable(shortened(redacted(sentence), LONGEST))}", file=sys.stderr)


def _run(arguments: list[str]) -> None:
    try:
        app(arguments, prog_name="nas")
    except SystemExit as end:
        if not end.code and not OWN_DELIVERY & set(arguments) and Path("mlruns/spool").is_dir():
            recording.deliver_in_passing()
        raise


def _with_sentence(show: Callable[..., None]) -> Callable[..., None]:
    """Return a `warnings.showwarning` that prints a NasWarning as one sentence, and others as before."""

    def show_warning(message: Warning | str, category: type[Warning], *rest: Any) -> None:
        if issubclass(category, NasWarning):
            _print(str(message))
        else:
            show(message, category, *rest)

    return show_warning


def _with_resume_value(arguments: list[str]) -> list[str]:
    """Allow `--resume` without a name, for the latest search."""
    completed: list[str] = []
    for index, argument in enumerate(arguments):
        completed.append(argument)
        following = arguments[index + 1] if index + 1 < len(arguments) else "-"
        if argument == "--resume" and following.startswith("-"):
            completed.append("")
    return completed
