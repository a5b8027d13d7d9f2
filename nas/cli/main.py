"""The command line: all commands, and errors as one sentence."""

from __future__ import annotations

import os
import sys

import typer

from nas.cli import data, measuring, results, searching, spaces, training
from nas.errors import NasError

__all__ = ["app", "main"]

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
training.add_to(app)
data.add_to(app)
measuring.add_to(app)
spaces.add_to(app)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line.

    A NasError ends it with its sentence and its exit code, a closed pipe with exit code 1 and no message.
    """
    given = sys.argv[1:] if arguments is None else arguments
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # of the sampler: the cores are for the workers
    try:
        app(_with_resume_value(given), prog_name="nas")
    except NasError as error:
        print(f"nas: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except OSError as error:
        if error.errno is None:
            raise
        path = f" '{error.filename}'" if error.filename else ""
        print(
            f"nas: the file system refused{path}: {error.strerror}; fix that and try again", file=sys.stderr
        )
        sys.exit(1)


def _with_resume_value(arguments: list[str]) -> list[str]:
    """Allow `--resume` without a name, for the latest search."""
    completed: list[str] = []
    for index, argument in enumerate(arguments):
        completed.append(argument)
        following = arguments[index + 1] if index + 1 < len(arguments) else "-"
        if argument == "--resume" and following.startswith("-"):
            completed.append("")
    return completed
