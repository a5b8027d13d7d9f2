"""`nas train`: train one network at full length."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nas.cli.arguments import panel_option
from nas.cli.completion import complete_formats, complete_network
from nas.cli.data_options import with_data_options

if TYPE_CHECKING:
    from nas.training import ResolvedNetwork, TrainingProgress, TrainingResult

__all__ = ["add_to"]

HELP = """Train one network at full length and score it once on the test split.

ARCHITECTURE is a shipped network (`nas space list`) or a YAML file, NAME:TRIAL a trial of a search.

Examples:

    nas train mnist_cnn --data mnist --epochs 12
    nas train photos:17 --epochs 60 --patience 10 --out best
    nas train photos:17 --data new.npz --from photos:17 --fine-tune
    nas train mine.yaml --data photos/ --image-size 64 --format keras,python,litert

Augmentation (flip, crop, rotation, mixup, ...) is set in the network's file, as in `training: {flip: true}`.

Stop it at any moment: the same command resumes after the last epoch.
"""


def train(
    network: Annotated[
        str,
        typer.Argument(
            metavar="ARCHITECTURE|NAME:TRIAL", help="The network.", autocompletion=complete_network
        ),
    ],
    data: Annotated[
        str | None,
        panel_option(
            "Data",
            "digits, mnist, cifar10, ..., a file or folder.  [default: that of the search, or digits]",
        ),
    ] = None,
    data_options: Mapping[str, Any] = MappingProxyType({}),
    epochs: Annotated[int, panel_option("Training", "Epochs in total.")] = 30,
    patience: Annotated[
        int | None, panel_option("Training", "Stop after N epochs without a better validation.")
    ] = None,
    batch_size: Annotated[
        int | None, panel_option("Training", "Examples per step.  [default: that of the network, or 64]")
    ] = None,
    learning_rate: Annotated[
        float | None,
        panel_option("Training", "[default: that of the network, or 0.002; a tenth of it with --fine-tune]"),
    ] = None,
    class_weight: Annotated[
        str | None,
        panel_option(
            "Training",
            "none, or balanced: errors count in inverse proportion to the size of their class.  "
            "[default: that of the network, or none]",
        ),
    ] = None,
    weights: Annotated[
        str,
        typer.Option(
            "--from",
            help="Start from these weights: a .npz, .weights.h5 or .keras file, a training's folder, or "
            "NAME:TRIAL.",
            rich_help_panel="Training",
        ),
    ] = "",
    fine_tune: Annotated[
        bool,
        typer.Option(
            "--fine-tune",
            help="Keep batch normalization frozen and in inference mode.",
            rich_help_panel="Training",
        ),
    ] = False,
    seed: Annotated[
        int | None,
        panel_option("Training", "Seed of weights and order.  [default: that of the search, or 0]"),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="The folder of the training.  [default: trained/NAME]")
    ] = None,
    formats: Annotated[
        str,
        typer.Option(
            "--format",
            help="Of keras, python, litert, onnx; comma-separated.",
            autocompletion=complete_formats,
        ),
    ] = "keras,python",
    json: Annotated[bool, typer.Option("--json", help="Print an object.")] = False,
) -> None:
    """Train one network."""
    from nas.cli.terminal import errors
    from nas.report import data_lines
    from nas.training import DataOverrides, prepare_training

    def report(line: str) -> None:
        errors.print(line, soft_wrap=True)

    prepared = prepare_training(
        network,
        DataOverrides(data, data_options, seed),
        epochs=epochs,
        patience=patience,
        batch_size=batch_size,
        learning_rate=learning_rate,
        class_weight=class_weight,
        weights=weights,
        fine_tune=fine_tune,
        out=out,
        formats=[word.strip() for word in formats.split(",") if word.strip()],
        progress=report,
    )
    for line in data_lines(prepared.network.dataset):
        report(line)
    rate = prepared.design.training.learning_rate
    report(_introduction(prepared.network, rate, prepared.options.out))
    view = _View()
    try:
        with view:
            result = prepared.run(view)
    except KeyboardInterrupt:
        errors.print(
            f"Stopped after epoch {view.done} of {epochs}; the same command resumes.", soft_wrap=True
        )
        raise typer.Exit(130) from None
    _print_result(prepared.network, result, json)


def add_to(app: typer.Typer) -> None:
    """Add this module's command."""
    app.command(help=HELP)(with_data_options(train))


def _introduction(network: ResolvedNetwork, rate: float, out: Path) -> str:
    from nas.architecture import network_cost
    from nas.cli.terminal import number

    costs, data = network_cost(network.design.architecture), network.dataset
    return (
        f"Training {network.name} ({number('params', costs.params)} parameters, "
        f"{number('flops', costs.flops)} FLOPs) on {data.name}; "
        f"learning rate {rate:g}; in {out}"
    )


class _View:
    """Displays a training: one live line in a terminal, else one line per epoch."""

    def __init__(self) -> None:
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        from nas.cli.terminal import errors

        self.done = 0
        self._console = errors
        self._shown = -1
        self._problem = ""
        columns = (
            SpinnerColumn(),
            BarColumn(20),
            TextColumn("{task.description}"),
            TimeElapsedColumn(),
        )
        self._bar = Progress(*columns, console=errors, transient=True) if errors.is_terminal else None
        self._task = self._bar.add_task("loading", total=None) if self._bar else None

    def __enter__(self) -> _View:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()

    def __call__(self, progress: TrainingProgress) -> None:
        """Display the progress of the training."""
        self.done = len(progress.curve)
        if self._shown < 0:
            self._begin(progress)
        elif self._bar is None:
            self._console.print(_line(progress), soft_wrap=True)
        self._shown = self.done
        if progress.problem and progress.problem != self._problem:
            self._console.print(
                f"{progress.problem}; the training continues, and the missing epochs are written later",
                soft_wrap=True,
            )
        self._problem = progress.problem
        if self._bar is not None and self._task is not None:
            self._bar.update(
                self._task, completed=self.done, total=progress.epochs, description=_live(progress)
            )

    def _begin(self, progress: TrainingProgress) -> None:
        if progress.head_note:
            self._console.print(progress.head_note, soft_wrap=True)
        if progress.has_ended:
            self._console.print(f"The training has ended after epoch {self.done}; these are its results.")
        elif self.done:
            self._console.print(f"Resuming after epoch {self.done} of {progress.epochs}.")


def _line(progress: TrainingProgress) -> str:
    from nas.cli.terminal import duration

    row, done = progress.curve[-1], len(progress.curve)
    best = ", best so far" if progress.best == done else ""
    took = f"{row['seconds']:.1f} s" if row["seconds"] < 10 else duration(row["seconds"])
    return f"epoch {done} of {progress.epochs}: loss {row['loss']:.4f}, {_shown(row, progress)}, {took}{best}"


def _live(progress: TrainingProgress) -> str:
    from nas.cli.terminal import duration

    if not progress.curve:
        return f"epoch 1 of {progress.epochs}"
    if len(progress.curve) == progress.epochs:
        return "scoring on the test split, writing the files"
    mean = sum(row["seconds"] for row in progress.curve) / len(progress.curve)
    left = duration(mean * (progress.epochs - len(progress.curve)))
    best = _shown(progress.curve[progress.best - 1], progress) if progress.best else "the starting weights"
    now = f"epoch {len(progress.curve) + 1} of {progress.epochs}"
    return f"{now}, best so far {best} (epoch {progress.best}), about {left} left"


def _shown(row: Mapping[str, float], progress: TrainingProgress) -> str:
    from nas.cli.terminal import number

    value = number(progress.quality, row[f"val_{progress.quality}"])
    return f"validation {_quality_name(progress.quality)} {value}"


def _quality_name(quality: str) -> str:
    known = {"mean_iou": "mean IoU", "map": "mean average precision", "r2": "R2"}
    return known.get(quality, quality.replace("_", " "))


def _print_result(network: ResolvedNetwork, result: TrainingResult, json: bool) -> None:
    from nas.cli.terminal import number, output, print_files, print_json

    progress = result.progress
    seconds = [row["seconds"] for row in progress.curve]
    if json:
        print_json({
            "network": network.name, "data": network.dataset.name, **result.values, **result.test,
            "epochs": len(progress.curve), "best_epoch": progress.best,
            "stopped_early": result.stopped_early,
            "seconds_per_epoch": sorted(seconds)[len(seconds) // 2] if seconds else None,
            "curve": [dict(row) for row in progress.curve],
            "folder": str(result.folder), "run_id": result.run_id,
            "files": {kind: str(path) for kind, path in result.files.items()},
        })  # fmt: skip
        return
    quality = progress.quality
    ended = f", stopped after {len(progress.curve)}" if result.stopped_early else ""
    best = f"epoch {progress.best} of {progress.epochs}{ended}" if progress.best else "the starting weights"
    output.print(
        f"Test {_quality_name(quality)} {number(quality, result.test[f'test_{quality}'])} with the best "
        f"weights ({best}, validation {number(quality, result.values[quality])})"
    )
    print_files(result.files, network.design)
    where = result.link or f"'train {network.name}', which the MLflow of nas ui shows"
    output.print(f"MLflow's run: {where}", soft_wrap=True)
    if progress.problem:
        output.print(f"{progress.problem}; the same command writes the missing epochs")
