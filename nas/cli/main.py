"""The commands' assembly, and what every command has in common: errors as one sentence."""

from __future__ import annotations

import os
import sys

import typer

from nas.cli import costs, results, searching, spaces, training
from nas.errors import NasError

__all__ = ["app", "main"]

app = typer.Typer(
    name="nas",
    help="Finds small, fast, accurate convolutional networks for your images and your device.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
searching.add_to(app)
results.add_to(app)
training.add_to(app)
costs.add_to(app)
spaces.add_to(app)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; errors of NasError's tree end it with one sentence and their exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # the sampler's: the cores are for the workers
    try:
        app(_with_resume_value(given), prog_name="nas")
    except NasError as error:
        print(f"nas: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except OSError as error:
        if error.errno is None:
            raise
        place = f" '{error.filename}'" if error.filename else ""
        print(f"nas: the file system refused{place}: {error.strerror}; mend that and go on", file=sys.stderr)
        sys.exit(1)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)


def _with_resume_value(arguments: list[str]) -> list[str]:
    """Let `--resume` stand without a name, for the latest search."""
    result: list[str] = []
    for place, word in enumerate(arguments):
        result.append(word)
        following = arguments[place + 1] if place + 1 < len(arguments) else "-"
        if word == "--resume" and following.startswith("-"):
            result.append("")
    return result
