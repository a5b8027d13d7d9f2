"""`nas measure` and `nas calibrate`: what a network costs on this device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import typer

from nas.cli.arguments import panel_option
from nas.cli.completion import complete_network, complete_space
from nas.cli.data_options import with_data_options

if TYPE_CHECKING:
    from nas.api import Measurement
    from nas.backends import Precision
    from nas.device import Device

__all__ = ["add_to"]

PrecisionOption = Annotated[str, typer.Option(help="float32, float16, dynamic_int8 or int8.")]
ThreadsOption = Annotated[int, typer.Option("--latency-threads", help="Threads of the runtime.")]
RuntimeOption = Annotated[str, typer.Option(help="litert or onnx.")]
Runtime = Literal["litert", "onnx"]


def add_to(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.command(help=measure.__doc__)(with_data_options(measure))
    app.command(help=calibrate.__doc__)(calibrate)


def measure(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE...",
            help="A .keras, .tflite, .onnx or .yaml file, the folder of a SavedModel or training, a shipped "
            "network, or NAME:TRIAL; several are compared.",
            autocompletion=complete_network,
        ),
    ],
    precision: PrecisionOption = "float32",
    latency_threads: ThreadsOption = 1,
    runtime: RuntimeOption = "litert",
    data: Annotated[
        str | None,
        panel_option(
            "Data",
            "The quality of the file on the test split of this data; training images calibrate int8.",
        ),
    ] = None,
    input_range: Annotated[
        str | None,
        panel_option(
            "Data",
            "The values that the input takes: 0..255, 0..1, -1..1 or data (as they are there).  "
            "[default: what the file says]",
        ),
    ] = None,
    data_options: Mapping[str, Any] = MappingProxyType({}),
    json: Annotated[
        bool, typer.Option("--json", help="Print an object, for several files a list of them.")
    ] = False,
) -> None:
    """Measure networks: parameters, FLOPs by layer, memory, file size, latency on this device.

    With data the file is also run on the test split, in its own runtime. Several files are compared with the
    first: is this network better than the one that I have?

    Examples:

        nas measure best/model.tflite

        nas measure mobilenet.keras best/model.tflite --data photos/

        nas measure vgg_small_separable --precision dynamic_int8 --json
    """
    from nas import api
    from nas.cli.terminal import errors, print_json

    def report(line: str) -> None:
        if errors.is_terminal:
            errors.print(line, soft_wrap=True)

    measured = api.measure_all(
        files,
        precision=cast("Precision", precision),
        threads=latency_threads,
        runtime=cast(Runtime, runtime),
        data=data,
        data_options=data_options,
        input_range=cast(Any, input_range),
        progress=report,
    )
    if json:
        rows = [_as_data(one) for one in measured]
        print_json(rows if len(rows) > 1 else rows[0])
    elif len(measured) > 1:
        _print_comparison(measured)
    else:
        _print_one(measured[0])


def _print_one(measured: Measurement) -> None:
    from nas.cli.terminal import number, output, table, with_error

    summary, latency, quality = measured.summary, measured.latency, measured.quality
    rows = [
        [layer.name, layer.kind, "x".join(map(str, layer.shape)), f"{layer.params:,}", f"{layer.flops:,}"]
        for layer in summary.layers
    ]
    output.print(table(measured.network, ["layer", "kind", "output", "parameters", "FLOPs"], rows))
    output.print()
    trainable = "" if summary.trainable_params is None else f" ({summary.trainable_params:,} trainable)"
    output.print(f"parameters   {summary.params:,}{trainable}")
    output.print(f"FLOPs        {number('flops', summary.flops)} per example, 2 x multiply-adds")
    output.print(f"peak memory  {number('peak_bytes', summary.peak_bytes)} of activations")
    output.print(f"file         {number('size_bytes', latency.size_bytes)}, {latency.device.precision}")
    noise = f"95th percentile {latency.p95_ms:.4g} ms, noise {latency.cv:.1%}"
    output.print(f"latency      {latency.p50_ms:.4g} ms, {noise}")
    output.print(f"device       {latency.device.fingerprint}")
    if quality is not None:
        shown = ", ".join(
            f"{name} {with_error(name, value, quality.values.get(f'{name}_se'))}"
            for name, value in quality.values.items()
            if not name.endswith("_se")
        )
        output.print(f"quality      {shown}", soft_wrap=True)
        output.print(f"             on {quality.examples:,} test examples, fed {quality.fed}", soft_wrap=True)


def _print_comparison(measured: Sequence[Measurement]) -> None:
    """Print a row for each file; costs are followed by their ratio to that of the first file."""
    from nas.cli.terminal import number, output, table, with_error

    first = measured[0]
    qualities = [one.quality for one in measured if one.quality is not None]
    names = [name for name in qualities[0].values if not name.endswith("_se")][:1] if qualities else []
    rows = []
    for one in measured:
        latency = one.latency
        quality = {} if one.quality is None else one.quality.values
        row = [one.network]
        row += [with_error(name, quality.get(name), quality.get(f"{name}_se")) for name in names]
        row += [
            f"{number(name, value)} ({_ratio(value, _costs(first)[name])})"
            for name, value in _costs(one).items()
        ]
        noise = latency.cv if one is first else (latency.cv**2 + first.latency.cv**2) ** 0.5
        ratio = f"{_ratio(latency.p50_ms, first.latency.p50_ms)} ± {noise:.1%}"
        rows.append([*row, f"{latency.p50_ms:.4g} ms ({ratio})", _runs_as(latency.device)])
    columns = ["", *names, "parameters", "FLOPs", "file", "memory", "latency", "runs as"]
    output.print(table("", columns, rows))
    output.print()
    device = first.latency.device
    threads = "1 thread" if device.threads == 1 else f"{device.threads} threads"
    machine = f"{device.processor}, {device.cores} cores, {threads}"
    output.print(f"Timed in turn on {machine}; the ratios are to the first.", soft_wrap=True)
    for one in measured:
        if one.quality is not None:
            fed = f"{one.quality.examples:,} test examples, fed {one.quality.fed}"
            output.print(f"{one.network}: {fed}.", soft_wrap=True)
        elif names:
            output.print(f"{one.network}: no quality, since it has no trained weights.", soft_wrap=True)


def _runs_as(device: Device) -> str:
    return f"{device.runtime}, {device.precision}"


def _costs(measured: Measurement) -> dict[str, float | None]:
    """Return the costs of a comparison; the memory is that of the file that is timed, if it is known."""
    summary, latency = measured.summary, measured.latency
    memory = summary.peak_bytes if latency.arena_bytes is None else latency.arena_bytes
    return {
        "params": summary.params,
        "flops": summary.flops,
        "size_bytes": latency.size_bytes,
        "peak_bytes": memory,
    }


def _ratio(value: float | None, first: float | None) -> str:
    return f"{value / first:.2f}x" if value is not None and first else "-"


def _as_data(measured: Measurement) -> dict[str, Any]:
    summary, latency, quality = measured.summary, measured.latency, measured.quality
    return {
        "network": measured.network,
        "params": summary.params,
        "trainable_params": summary.trainable_params,
        "flops": summary.flops,
        "peak_bytes": summary.peak_bytes,
        "size_bytes": latency.size_bytes,
        "latency_ms": {"p50": latency.p50_ms, "p95": latency.p95_ms, "cv": latency.cv},
        "arena_bytes": latency.arena_bytes,
        "device": {**vars(latency.device), "fingerprint": latency.device.fingerprint},
        "quality": quality and {**quality.values, "examples": quality.examples, "fed": quality.fed},
        "layers": [
            {name: getattr(layer, name) for name in ("name", "kind", "shape", "params", "flops")}
            for layer in summary.layers
        ],
    }


def calibrate(
    space: Annotated[
        str, typer.Option(help="The space whose networks are measured.", autocompletion=complete_space)
    ] = "xception_like",
    networks: Annotated[int, typer.Option(help="Number of networks to measure.")] = 100,
    image_size: Annotated[int, typer.Option(help="The side of the images in pixels.")] = 32,
    precision: PrecisionOption = "float32",
    latency_threads: ThreadsOption = 1,
    runtime: RuntimeOption = "litert",
) -> None:
    """Fit the latency model of this device: later searches predict with it and measure fewer networks.

    Examples:

        nas calibrate

        nas calibrate --space mobilenet_like --networks 200
    """
    from rich.progress import Progress

    from nas import api
    from nas.cli.terminal import errors, output

    with Progress(console=errors, disable=not errors.is_terminal) as bar:
        task = bar.add_task("measuring", total=networks)
        path = api.calibrate(
            space,
            networks=networks,
            image_size=image_size,
            precision=cast("Precision", precision),
            threads=latency_threads,
            runtime=cast(Runtime, runtime),
            show=lambda done, total: bar.update(task, completed=done, total=total),
        )
    output.print(f"{networks} networks measured; the latency model is saved in {path}")
