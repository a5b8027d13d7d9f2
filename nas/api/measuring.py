"""Measure networks and calibrate this device, from Python."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from nas.api.keywords import refuse_unknown_keywords
from nas.api.searches import Found, data_source, find
from nas.backends import CALIBRATION_IMAGES, Precision
from nas.data import DataOptions, Dataset, load_dataset
from nas.device import (
    MODEL_SUFFIXES,
    FileQuality,
    Latency,
    LatencyOptions,
    ModelSummary,
    OpenedModel,
    calibrate_latency_model,
    judge_file,
    measure_contents,
    open_architecture,
    open_model_file,
    plan_feed,
)
from nas.errors import InputError
from nas.record import parse_trial_reference
from nas.space import SearchSpace
from nas.training import closed_space, is_training_folder

__all__ = ["Measurement", "calibrate", "measure", "measure_all"]


@dataclass(frozen=True)
class Measurement:
    """The size of a network, its latency on this device and, with data, its quality."""

    network: str  # as it was given
    summary: ModelSummary  # parameters, FLOPs, peak memory, layers
    latency: Latency
    quality: FileQuality | None  # on the test split; None without data, and for a network without weights


@refuse_unknown_keywords
def measure(
    network: str | Path,
    *,
    precision: Precision = "float32",
    threads: int = 1,
    runtime: Literal["litert", "onnx"] = "litert",
    data: Any = None,
    data_options: Mapping[str, Any] | None = None,
    input_range: Literal["0..255", "0..1", "-1..1", "data"] | None = None,
) -> Measurement:
    """Measure a network on this device, as `nas measure` does.

    Parameters:

    - network: a `.keras`, `.tflite`, `.onnx` or `.yaml` file, the folder of a SavedModel or of a training, a
    shipped network, or NAME:TRIAL.
    - precision, threads, runtime: of the file that is timed, for a network that is not a `.tflite` or `.onnx`
    file yet.
    - data: the quality of the file on the test split of this data is computed, in the file's runtime; for
    precision "int8" training images calibrate the file.
    - data_options: parameters of `nas.search` by which data are read. Images get the size of the input.
    - input_range: the values that the input takes, for a file that does not say so: 0 to 255, 0 to 1, -1 to
    1, or as they are in the data.

    Raises InputError for an unknown network or file and for data that do not fit or may not fit,
    ConversionError if the runtime refuses the file.

    Example:

    ```python
    measured = nas.measure("vgg_small_separable")
    print(measured.summary.params, measured.latency.p50_ms)
    ```
    """
    return measure_all(
        [network],
        precision=precision,
        threads=threads,
        runtime=runtime,
        data=data,
        data_options=data_options,
        input_range=input_range,
    )[0]


@refuse_unknown_keywords
def measure_all(
    networks: Sequence[str | Path],
    *,
    precision: Precision = "float32",
    threads: int = 1,
    runtime: Literal["litert", "onnx"] = "litert",
    data: Any = None,
    data_options: Mapping[str, Any] | None = None,
    input_range: Literal["0..255", "0..1", "-1..1", "data"] | None = None,
    progress: Callable[[str], None] | None = None,
) -> list[Measurement]:
    """Measure several networks; the parameters are those of `nas.measure`.

    Latencies are timed in turn, in short rounds, so that their ratios do not depend on what else the machine
    does. progress: receives a line before each step that takes a while.

    Example:

    ```python
    small, large = nas.measure_all(["vgg_small_separable", "vgg_small"])
    print(large.latency.p50_ms / small.latency.p50_ms)
    ```
    """
    options = LatencyOptions.parse(precision, threads, runtime)
    tell = progress or (lambda _: None)
    source = None if data is None else data_source(data)
    models, contents, qualities = [], [], []
    for network in networks:
        model = _open(str(network), options, with_weights=source is not None)
        dataset = images = feed = None
        if source is not None and (model.has_weights or precision == "int8"):
            tell(f"reading {source} for {model.name} ...")
            dataset = _load(source, data_options or {}, model, progress)
            feed = plan_feed(model, dataset, input_range)
            images = feed.apply(dataset.train.x[:CALIBRATION_IMAGES])
        content = model.content(precision, images)
        models.append(model)
        contents.append((content, _options_of(model, content, options)))
        quality = None
        if dataset is not None and feed is not None and model.has_weights:
            tell(f"running {model.name} on the test split ...")
            quality = judge_file(model, content, dataset, feed)
        qualities.append(quality)
    tell("timing ...")
    latencies = measure_contents(contents)
    return [
        Measurement(model.name, model.summarize(content), latency, quality)
        for model, (content, _), latency, quality in zip(models, contents, latencies, qualities, strict=True)
    ]


def _options_of(model: OpenedModel, content: bytes, options: LatencyOptions) -> LatencyOptions:
    precision = model.precision_of(content, options.precision)
    return replace(options, runtime=model.runtime, precision=precision)


def _open(network: str, options: LatencyOptions, with_weights: bool) -> OpenedModel:
    path = Path(network)
    if path.suffix in MODEL_SUFFIXES or (path / "saved_model.pb").exists():
        return open_model_file(path, options)
    if is_training_folder(network):
        return _open_trial(network, find(network), 0, options, with_weights)
    if path.is_dir():
        raise InputError(
            f"a folder must be a SavedModel to be measured, got '{network}' without saved_model.pb; give a "
            "file of it"
        )
    reference = parse_trial_reference(network)
    if reference is not None:
        return _open_trial(network, find(reference[0]), reference[1], options, with_weights)
    space = closed_space(network, "nas measure", f"its range is shown by nas space show {network}")
    if "input_shape" not in space.data:
        raise InputError(
            f"a network must have an input shape to be measured, got '{network}'; "
            "add input_shape: [32, 32, 3]"
        )
    return open_architecture(network, space.design({}).architecture, options)


def _open_trial(
    name: str, found: Found, number: int, options: LatencyOptions, with_weights: bool
) -> OpenedModel:
    trial = found.pick(number)
    weights = found.weights(trial) if with_weights else None
    return open_architecture(name, trial.design.architecture, options, weights, found.plan.signature)


def _load(
    source: str, given: Mapping[str, Any], model: OpenedModel, progress: Callable[[str], None] | None
) -> Dataset:
    """Load data; images get the size of a model's input unless another one is given."""
    values = dict(given)
    if len(model.input_shape) == 3 and "image_size" not in values:
        channels_first = model.input_shape[0] in (1, 3) and model.input_shape[2] not in (1, 3)
        height, width = model.input_shape[1:] if channels_first else model.input_shape[:2]
        if height == width > 0:
            values["image_size"] = height
    return load_dataset(source, DataOptions.parse(values), progress)


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
