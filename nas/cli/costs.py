"""`nas measure` and `nas calibrate`: what a network costs on this device."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nas.errors import InputError

if TYPE_CHECKING:
    from nas.architecture import Architecture
    from nas.device import Latency, LatencyOptions, ModelSummary

__all__ = ["add_to"]

Precision = Annotated[str, typer.Option(help="float32, float16, dynamic_int8 or int8.")]
Threads = Annotated[int, typer.Option("--latency-threads", help="Threads of the runtime.")]
Runtime = Annotated[str, typer.Option(help="litert or onnx.")]


def add_to(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.command(help=measure.__doc__)(measure)
    app.command(help=calibrate.__doc__)(calibrate)


def measure(
    file: Annotated[
        str, typer.Argument(help="A .keras, .tflite, .onnx or .yaml file, a shipped network, or NAME:TRIAL.")
    ],
    precision: Precision = "float32",
    latency_threads: Threads = 1,
    runtime: Runtime = "litert",
    data: Annotated[str | None, typer.Option(help="Images that calibrate int8.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print an object.")] = False,
) -> None:
    """Measure a network: parameters, FLOPs by layer, memory, size, latency on this device.

    Examples:

        nas measure best/model.tflite

        nas measure vgg_small_separable --precision dynamic_int8 --json
    """
    from nas.cli.show import number, output, print_json, table
    from nas.device import LatencyOptions

    options = LatencyOptions.parse(precision, latency_threads, runtime)
    anatomy, latency = _measured(file, options, data)
    if json:
        print_json(_as_data(anatomy, latency))
        return
    rows = [
        [part.name, part.kind, "x".join(map(str, part.shape)), f"{part.params:,}", f"{part.flops:,}"]
        for part in anatomy.layers
    ]
    output.print(table(file, ["layer", "kind", "output", "parameters", "FLOPs"], rows))
    output.print()
    trainable = "" if anatomy.trainable_params is None else f" ({anatomy.trainable_params:,} trainable)"
    output.print(f"parameters   {anatomy.params:,}{trainable}")
    output.print(f"FLOPs        {number('flops', anatomy.flops)} an example, 2 x multiply-adds")
    output.print(f"peak memory  {number('peak_bytes', anatomy.peak_bytes)} of activations")
    output.print(f"file         {number('size_bytes', latency.size_bytes)}, {latency.device.precision}")
    spread = f"95th percentile {latency.p95_ms:.4g} ms, noise {latency.cv:.1%}"
    output.print(f"latency      {latency.p50_ms:.4g} ms, {spread}")
    output.print(f"device       {latency.device.fingerprint}")


def _as_data(anatomy: ModelSummary, latency: Latency) -> dict[str, Any]:
    return {
        "params": anatomy.params,
        "trainable_params": anatomy.trainable_params,
        "flops": anatomy.flops,
        "peak_bytes": anatomy.peak_bytes,
        "size_bytes": latency.size_bytes,
        "latency_ms": {"p50": latency.p50_ms, "p95": latency.p95_ms, "cv": latency.cv},
        "arena_bytes": latency.arena_bytes,
        "device": {**vars(latency.device), "fingerprint": latency.device.fingerprint},
        "layers": [
            {name: getattr(part, name) for name in ("name", "kind", "shape", "params", "flops")}
            for part in anatomy.layers
        ],
    }


def _measured(file: str, options: LatencyOptions, data: str | None) -> tuple[ModelSummary, Latency]:
    """Take a file apart and time it; an architecture is written as a file first."""
    from nas.device import (
        measure_architecture,
        measure_file,
        summarize_architecture,
        summarize_litert,
        summarize_onnx,
    )

    path = Path(file)
    if path.suffix in (".keras", ".tflite", ".onnx") and not path.is_file():
        raise InputError(f"a model file must exist, got '{file}'; see what nas export wrote")
    if path.suffix == ".tflite":
        return summarize_litert(path.read_bytes()), measure_file(path, options)
    if path.suffix == ".onnx":
        return summarize_onnx(path), measure_file(path, options)
    if path.suffix == ".keras":
        return _keras(path, options)
    architecture = _architecture(file)
    images = None
    if data is not None:
        from nas.data import DataOptions, load_dataset

        images = load_dataset(data, DataOptions(image_size=architecture.input_shape[0])).train.x[:200]
    return summarize_architecture(architecture), measure_architecture(architecture, options, images)


def _architecture(word: str) -> Architecture:
    """Find a closed network: NAME:TRIAL, a shipped name or a file that has its input."""
    from nas.api import find
    from nas.space import SearchSpace, shipped_files

    name, colon, number = word.rpartition(":")
    if colon and number.isdigit() and not Path(word).exists():
        return find(name or None).pick(number).design.architecture
    models = {} if Path(word).is_file() else shipped_files("models")  # a space may have a network's name
    space = SearchSpace.load(models.get(word, word))
    if space.open_values:
        raise InputError(
            f"nas measure takes one network, got '{word}' with {len(space.open_values)} open values; "
            f"see its range with nas space show {word}"
        )
    if "input_shape" not in space.data:
        raise InputError(
            f"a network must have its input to be measured, got '{word}'; add input_shape: [32, 32, 3]"
        )
    return space.design({}).architecture


def _keras(path: Path, options: LatencyOptions) -> tuple[ModelSummary, Latency]:
    """Load a Keras file, convert it as it is and time that."""
    import tempfile

    from nas.device import (
        convert_to_litert,
        measure_file,
        summarize_keras,
    )
    from nas.evaluation import load_tensorflow

    if options.precision != "float32" or options.runtime != "litert":
        raise InputError(
            f"a .keras file is measured as LiteRT of float32, got {options.runtime} {options.precision}; "
            "export it in that precision and measure the file"
        )
    load_tensorflow()
    import keras

    try:
        model: Any = keras.models.load_model(path, compile=False)
    except (ValueError, TypeError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"a .keras file must be one that Keras can load, got '{path}': {reason}") from None
    with tempfile.TemporaryDirectory(prefix="nas-") as folder:
        converted = Path(folder, "model.tflite")
        converted.write_bytes(convert_to_litert(model))
        return summarize_keras(model), measure_file(converted, options)


def calibrate(
    space: Annotated[str, typer.Option(help="The space whose networks are measured.")] = "xception_like",
    networks: Annotated[int, typer.Option(help="How many are measured.")] = 100,
    image_size: Annotated[int, typer.Option(help="The side of the images.")] = 32,
    precision: Precision = "float32",
    latency_threads: Threads = 1,
    runtime: Runtime = "litert",
) -> None:
    """Learn how fast this device is: later searches expect latencies from it, and measure fewer networks.

    Examples:

        nas calibrate

        nas calibrate --space mobilenet_like --networks 200
    """
    from rich.progress import Progress

    from nas.cli.show import errors, output
    from nas.device import LatencyOptions, calibrate_latency_model, local_device
    from nas.space import SearchSpace

    options = LatencyOptions.parse(precision, latency_threads, runtime)
    loaded = SearchSpace.load(space)
    task = loaded.data.get("task", "classification")
    bound = loaded.bind(
        (image_size, image_size, 3), 10, "segmentation" if task == "segmentation" else "classification"
    )
    with Progress(console=errors, disable=not errors.is_terminal) as bar:
        task = bar.add_task("measuring", total=networks)
        model = calibrate_latency_model(
            bound, networks, options, lambda done, count: bar.update(task, completed=done, total=count)
        )
    path = model.save()
    output.print(f"{len(model)} networks measured on {local_device(options).fingerprint}")
    output.print(f"saved in {path}")
