"""Train and measure single networks, and calibrate this device, from Python."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from nas.api.keywords import refuse_unknown_keywords
from nas.api.searches import data_source, find
from nas.architecture import Architecture
from nas.backends import Precision
from nas.data import DataOptions, load_dataset
from nas.device import (
    Latency,
    LatencyOptions,
    ModelSummary,
    calibrate_latency_model,
    convert_to_litert,
    measure_architecture,
    measure_file,
    summarize_architecture,
    summarize_keras,
    summarize_litert,
    summarize_onnx,
)
from nas.errors import InputError
from nas.files import file_problem, temporary_folder
from nas.space import SearchSpace
from nas.tensorflow_imports import import_keras
from nas.text import shortened
from nas.training import (
    DataOverrides,
    TrainingProgress,
    TrainingResult,
    closed_space,
    parse_trial_reference,
    prepare_training,
    show_nothing,
)

__all__ = ["Measurement", "calibrate", "measure", "train"]

MODEL_SUFFIXES = (".keras", ".tflite", ".onnx")
MAX_MODEL_BYTES = 2 * 2**30
"""Size of a model file: FlatBuffers and protocol buffers are limited to it."""

CALIBRATION_IMAGES = 200
"""Images that calibrate an int8 file."""


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
    - batch_size, learning_rate: None: the value of the network.
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
        weights=str(weights),
        fine_tune=fine_tune,
        out=Path(out) if out else None,
        formats=formats,
        progress=progress,
    ).run(show)


@dataclass(frozen=True)
class Measurement:
    """The size of a network and its latency on this device."""

    summary: ModelSummary  # parameters, FLOPs, peak memory, layers
    latency: Latency


@refuse_unknown_keywords
def measure(
    network: str | Path,
    *,
    precision: Precision = "float32",
    threads: int = 1,
    runtime: Literal["litert", "onnx"] = "litert",
    data: Any = None,
) -> Measurement:
    """Measure a network on this device, as `nas measure` does.

    Parameters:

    - network: a `.keras`, `.tflite`, `.onnx` or `.yaml` file, a shipped network, or NAME:TRIAL.
    - precision, threads, runtime: of the file that is timed, for a network that is not a file yet.
    - data: images that calibrate precision "int8".

    Raises InputError for an unknown network or file, ConversionError if the runtime refuses it.

    Example:

    ```python
    measured = nas.measure("vgg_small_separable")
    print(measured.summary.params, measured.latency.p50_ms)
    ```
    """
    options = LatencyOptions.parse(precision, threads, runtime)
    path = Path(network)
    if path.suffix in MODEL_SUFFIXES and not path.exists():
        raise InputError(
            f"a model file must exist, got '{network}'; nas export prints the files that it wrote"
        )
    if path.suffix in MODEL_SUFFIXES and (problem := file_problem(path, MAX_MODEL_BYTES)):
        raise InputError(f"a model file must be a regular file, got '{network}': {problem}; use another file")
    if path.suffix == ".tflite":
        return Measurement(summarize_litert(path.read_bytes()), measure_file(path, options))
    if path.suffix == ".onnx":
        return Measurement(summarize_onnx(path), measure_file(path, options))
    if path.suffix == ".keras":
        return _measure_keras(path, options)
    architecture = _closed_architecture(str(network))
    images = None
    if data is not None:
        dataset = load_dataset(data_source(data), DataOptions(image_size=architecture.input_shape[0]))
        images = dataset.train.x[:CALIBRATION_IMAGES]
    return Measurement(
        summarize_architecture(architecture), measure_architecture(architecture, options, images)
    )


def _closed_architecture(network: str) -> Architecture:
    reference = parse_trial_reference(network)
    if reference is not None:
        return find(reference[0]).pick(reference[1]).design.architecture
    space = closed_space(network, "nas measure", f"its range is shown by nas space show {network}")
    if "input_shape" not in space.data:
        raise InputError(
            f"a network must have an input shape to be measured, got '{network}'; "
            "add input_shape: [32, 32, 3]"
        )
    return space.design({}).architecture


def _measure_keras(path: Path, options: LatencyOptions) -> Measurement:
    """Load a Keras file, convert it to LiteRT, and measure that."""
    if options.precision != "float32" or options.runtime != "litert":
        raise InputError(
            f"a .keras file is measured as LiteRT of float32, got {options.runtime} {options.precision}; "
            "export it in that precision and measure the file"
        )
    keras = import_keras()
    try:
        model: Any = keras.models.load_model(path, compile=False)
    except Exception as error:  # layers raise errors without a common type: ValueError, tf.errors.OpError
        reason = shortened((str(error).strip().splitlines() or [type(error).__name__])[0], 300)
        raise InputError(f"a .keras file must be one that Keras can load, got '{path}': {reason}") from None
    with temporary_folder() as folder:
        converted = Path(folder, "model.tflite")
        converted.write_bytes(convert_to_litert(model))
        return Measurement(summarize_keras(model), measure_file(converted, options))


@refuse_unknown_keywords
def calibrate(
    space: str = "xception_like",
    *,
    networks: int = 100,
    image_size: int = 32,
    precision: Precision = "float32",
    threads: int = 1,
    runtime: Literal["litert", "onnx"] = "litert",
    show: Callable[[int, int], None] = lambda _done, _total: None,
) -> Path:
    """Measure networks of a space and save a latency model of this device, as `nas calibrate` does.

    Later searches predict latencies with it and measure fewer networks. `show` receives the number of
    measured networks and the total. Returns the path of the saved model. Raises InputError.
    """
    options = LatencyOptions.parse(precision, threads, runtime)
    loaded = SearchSpace.load(space)
    bound = loaded.bind((image_size, image_size, 3), 10, loaded.data.get("task") or "classification")
    return calibrate_latency_model(bound, networks, options, show).save()
