"""`nas train`: one network at full length."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nas.cli.searching import panel

if TYPE_CHECKING:
    from nas.training import Network, Progress, Trained

__all__ = ["add_to"]

EXAMPLES = """Train one network at full length and judge it once on the test split.

ARCHITECTURE is a shipped network (`nas space list`) or a YAML file, NAME:TRIAL a trial of a search.

Examples:

    nas train mnist_cnn --data mnist --epochs 12
    nas train photos:17 --epochs 60 --patience 10 --out best
    nas train photos:17 --data new.npz --from photos:17 --fine-tune
    nas train mine.yaml --data photos/ --image-size 64 --format keras,python,litert

Stop it at any moment: the same command goes on after the last epoch.
"""


def train(
    which: Annotated[str, typer.Argument(metavar="ARCHITECTURE|NAME:TRIAL", help="The network.")],
    data: Annotated[
        str | None,
        panel(
            "Data", "digits, mnist, cifar10, ..., a .npz, .zip or folder.  [default: the search's, or digits]"
        ),
    ] = None,
    image_size: Annotated[int | None, panel("Data", "Resize every image to a square of this side.")] = None,
    train_limit: Annotated[int | None, panel("Data", "Train on at most so many images, stratified.")] = None,
    ignore_label: Annotated[int | None, panel("Data", "Segmentation: the label that is not counted.")] = None,
    epochs: Annotated[int, panel("Training", "Epochs in all.")] = 30,
    patience: Annotated[
        int | None, panel("Training", "Stop after so many epochs without a better validation.")
    ] = None,
    batch_size: Annotated[
        int | None, panel("Training", "Examples a step.  [default: the network's, or 64]")
    ] = None,
    learning_rate: Annotated[
        float | None,
        panel("Training", "[default: the network's, or 0.002; a tenth of it with --fine-tune]"),
    ] = None,
    weights: Annotated[
        str,
        typer.Option(
            "--from",
            help="Begin with these weights: a .npz, .weights.h5, .keras, a training's folder, or NAME:TRIAL.",
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
        int | None, panel("Training", "Of weights, splits and order.  [default: the search's, or 0]")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="The training's own folder.  [default: trained/NAME]")
    ] = None,
    formats: Annotated[
        str, typer.Option("--format", help="Of keras, python, litert, onnx, with commas between.")
    ] = "keras,python",
    json: Annotated[bool, typer.Option("--json", help="Print an object.")] = False,
) -> None:
    """Train one network."""
    from nas.cli.show import errors
    from nas.training import DataChoice, TrainOptions, find_network, retrained, train_network

    network = find_network(which, DataChoice(data, image_size, train_limit, ignore_label, seed))
    training = network.design.training
    changes: dict[str, Any] = {}
    if batch_size is not None:
        changes["batch_size"] = batch_size
    if fine_tune or learning_rate is not None:
        changes["learning_rate"] = training.learning_rate / 10 if learning_rate is None else learning_rate
    design = retrained(network.design, changes) if changes else network.design
    options = TrainOptions(
        out=out or Path("trained") / network.name,
        epochs=epochs,
        patience=patience,
        seed=network.seed,
        weights=weights,
        fine_tune=fine_tune,
        formats=tuple(word.strip() for word in formats.split(",") if word.strip()),
    )
    errors.print(_introduction(network, design.training.learning_rate, options.out), soft_wrap=True)
    view = _View()
    try:
        with view:
            trained = train_network(design, network.dataset, options, view, network.name)
    except KeyboardInterrupt:
        errors.print(
            f"Stopped after epoch {view.done} of {epochs}; the same command goes on.", soft_wrap=True
        )
        raise typer.Exit(130) from None
    _print(network, trained, json)


def add_to(app: typer.Typer) -> None:
    """Add this module's command."""
    app.command(help=EXAMPLES)(train)


def _introduction(network: Network, rate: float, out: Path) -> str:
    from nas.architecture import network_cost
    from nas.cli.show import number

    counted, data = network_cost(network.design.architecture), network.dataset
    shape = "x".join(map(str, data.shape))
    return (
        f"Training {network.name} ({number('params', counted.params)} parameters, "
        f"{number('flops', counted.flops)} FLOPs) on {data.name}: {len(data.train):,} examples of {shape}, "
        f"{len(data.classes)} classes; learning rate {rate:g}; in {out}"
    )


class _View:
    """Shows a training: one live line in a terminal, a line for each epoch elsewhere."""

    def __init__(self) -> None:
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        from nas.cli.show import errors

        self.done = 0
        self._console = errors
        self._shown = -1
        self._told = ""
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

    def __call__(self, progress: Progress) -> None:
        """Show where the training stands."""
        self.done = len(progress.curve)
        if self._shown < 0:
            self._first(progress)
        elif self._bar is None:
            self._console.print(_line(progress), soft_wrap=True)
        self._shown = self.done
        if progress.problem and progress.problem != self._told:
            self._console.print(
                f"{progress.problem}; training goes on, what lacks is written later", soft_wrap=True
            )
        self._told = progress.problem
        if self._bar is not None and self._task is not None:
            self._bar.update(
                self._task, completed=self.done, total=progress.epochs, description=_live(progress)
            )

    def _first(self, progress: Progress) -> None:
        if progress.fresh_head:
            self._console.print(
                "The last layer begins with fresh weights: those given are for other classes."
            )
        if self.done:
            self._console.print(f"Going on after epoch {self.done} of {progress.epochs}.")


def _line(progress: Progress) -> str:
    from nas.cli.show import duration

    row, done = progress.curve[-1], len(progress.curve)
    best = ", the best so far" if progress.best == done else ""
    took = f"{row['seconds']:.1f} s" if row["seconds"] < 10 else duration(row["seconds"])
    return f"epoch {done} of {progress.epochs}: loss {row['loss']:.4f}, {_shown(row, progress)}, {took}{best}"


def _live(progress: Progress) -> str:
    from nas.cli.show import duration

    if not progress.curve:
        return f"epoch 1 of {progress.epochs}"
    if len(progress.curve) == progress.epochs:
        return "judging on the test split, writing the files"
    mean = sum(row["seconds"] for row in progress.curve) / len(progress.curve)
    left = duration(mean * (progress.epochs - len(progress.curve)))
    best = _shown(progress.curve[progress.best - 1], progress) if progress.best else "the starting weights"
    now = f"epoch {len(progress.curve) + 1} of {progress.epochs}"
    return f"{now}, best so far {best} (epoch {progress.best}), about {left} left"


def _shown(row: Mapping[str, float], progress: Progress) -> str:
    from nas.cli.show import number

    value = number(progress.quality, row[f"val_{progress.quality}"])
    return f"validation {_word(progress.quality)} {value}"


def _word(quality: str) -> str:
    return {"mean_iou": "mean IoU"}.get(quality, quality)


def _print(network: Network, trained: Trained, json: bool) -> None:
    from nas.cli.show import number, output, print_json

    progress = trained.progress
    seconds = [row["seconds"] for row in progress.curve]
    if json:
        print_json({
            "network": network.name, "data": network.dataset.name, **trained.values, **trained.test,
            "epochs": len(progress.curve), "best_epoch": progress.best,
            "stopped_early": trained.stopped_early,
            "seconds_per_epoch": sorted(seconds)[len(seconds) // 2] if seconds else None,
            "curve": [dict(row) for row in progress.curve],
            "folder": str(trained.folder), "run_id": trained.run_id,
            "files": {kind: str(path) for kind, path in trained.files.items()},
        })  # fmt: skip
        return
    quality = progress.quality
    ended = f", stopped after {len(progress.curve)}" if trained.stopped_early else ""
    best = f"epoch {progress.best} of {progress.epochs}{ended}" if progress.best else "the starting weights"
    output.print(
        f"Test {_word(quality)} {number(quality, trained.test[f'test_{quality}'])} with the best weights "
        f"({best}, validation {number(quality, trained.values[quality])})"
    )
    for path in trained.files.values():
        output.print(f"  {path}")
    output.print(f"MLflow's run: {trained.link}")
    if progress.problem:
        output.print(f"{progress.problem}; the same command writes what lacks")
