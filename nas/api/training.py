"""Train single networks from Python."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from nas.api.keywords import refuse_unknown_keywords
from nas.api.searches import data_source
from nas.training import DataOverrides, TrainingProgress, TrainingResult, prepare_training, show_nothing

__all__ = ["train"]


@refuse_unknown_keywords
def train(
    network: str,
    *,
    data: Any = None,
    data_options: Mapping[str, Any] | None = None,
    epochs: int = 30,
    patience: int | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    class_weight: Literal["none", "balanced"] | None = None,
    weights: str | Path = "",
    fine_tune: bool = False,
    seed: int | None = None,
    out: str | Path | None = None,
    formats: Sequence[str] = ("keras", "python"),
    show: Callable[[TrainingProgress], None] = show_nothing,
    progress: Callable[[str], None] | None = None,
) -> TrainingResult:
    """Train one network at full length and score it once on the test split, as `nas train` does.

    Parameters:

    - network: a shipped network, a YAML file, or NAME:TRIAL of a search.
    - data, seed: as for `nas.search`; None: the value of the search for NAME:TRIAL, else the default.
    - data_options: parameters of `nas.search` by which data are read, for example `{"image_size": 64}`; those
    that are not given have the value of the search for NAME:TRIAL, else the default.
    - epochs: epochs in total. patience: stop after N epochs without a better validation.
    - batch_size, learning_rate, class_weight: None: the value of the network. With "balanced" class weights,
    errors count in inverse proportion to the size of their class.
    - weights: weights to start from: a `.npz`, `.weights.h5` or `.keras` file, a training's folder or
    NAME:TRIAL.
    - fine_tune: freeze batch normalization in inference mode; a tenth of the network's learning rate.
    - out: the folder of the training; None: `trained/NAME`. A call with the same folder and parameters
    resumes.
    - formats: of "keras", "python", "litert", "onnx".
    - show: receives the progress after each epoch.
    - progress: receives a line every few seconds while examples are read.

    Raises InputError and its subclasses, EvaluationError if the loss is not finite.

    Example:

    ```python
    result = nas.train("mnist_cnn", data="digits", epochs=1)
    print(result.test["test_accuracy"])
    ```
    """
    overrides = DataOverrides(None if data is None else data_source(data), data_options or {}, seed)
    return prepare_training(
        network,
        overrides,
        epochs=epochs,
        patience=patience,
        batch_size=batch_size,
        learning_rate=learning_rate,
        class_weight=class_weight,
        weights=str(weights),
        fine_tune=fine_tune,
        out=Path(out) if out else None,
        formats=formats,
        progress=progress,
    ).run(show)
