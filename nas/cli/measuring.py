"""`nas measure` and `nas calibrate`: what a network costs on this device."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import typer

from nas.cli.completion import complete_network, complete_space

if TYPE_CHECKING:
    from nas.api import Measurement
    from nas.backends import Precision

__all__ = ["add_to"]

PrecisionOption = Annotated[str, typer.Option(help="float32, float16, dynamic_int8 or int8.")]
ThreadsOption = Annotated[int, typer.Option("--latency-threads", help="Threads of the runtime.")]
RuntimeOption = Annotated[str, typer.Option(help="litert or onnx.")]
Runtime = Literal["litert", "onnx"]


def add_to(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.command(help=measure.__doc__)(measure)
    app.command(help=calibrate.__doc__)(calibrate)


def measure(
    file: Annotated[
        str,
        typer.Argument(
            help="A .keras, .tflite, .onnx or .yaml file, a shipped network, or NAME:TRIAL.",
            autocompletion=complete_network,
        ),
    ],
    precision: PrecisionOption = "float32",
    latency_threads: ThreadsOption = 1,
    runtime: RuntimeOption = "litert",
    data: Annotated[str | None, typer.Option(help="Images that calibrate int8.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print an object.")] = False,
) -> None:
    """Measure a network: parameters, FLOPs by layer, memory, file size, latency on this device.

    Examples:

        nas measure best/model.tflite

        nas measure vgg_small_separable --precision dynamic_int8 --json
    """
    from nas import api
    from nas.cli.terminal import number, output, print_json, table

    measured = api.measure(
        file,
        precision=cast("Precision", precision),
        threads=latency_threads,
        runtime=cast(Runtime, runtime),
        data=data,
    )
    if json:
        print_json(_as_data(measured))
        return
    summary, latency = measured.summary, measured.latency
    rows = [
        [layer.name, layer.kind, "x".join(map(str, layer.shape)), f"{layer.params:,}", f"{layer.flops:,}"]
        for layer in summary.layers
    ]
    output.print(table(file, ["layer", "kind", "output", "parameters", "FLOPs"], rows))
    output.print()
    trainable = "" if summary.trainable_params is None else f" ({summary.trainable_params:,} trainable)"
    output.print(f"parameters   {summary.params:,}{trainable}")
    output.print(f"FLOPs        {number('flops', summary.flops)} per example, 2 x multiply-adds")
    output.print(f"peak memory  {number('peak_bytes', summary.peak_bytes)} of activations")
    output.print(f"file         {number('size_bytes', latency.size_bytes)}, {latency.device.precision}")
    noise = f"95th percentile {latency.p95_ms:.4g} ms, noise {latency.cv:.1%}"
    output.print(f"latency      {latency.p50_ms:.4g} ms, {noise}")
    output.print(f"device       {latency.device.fingerprint}")


def _as_data(measured: Measurement) -> dict[str, Any]:
    summary, latency = measured.summary, measured.latency
    return {
        "params": summary.params,
        "trainable_params": summary.trainable_params,
        "flops": summary.flops,
        "peak_bytes": summary.peak_bytes,
        "size_bytes": latency.size_bytes,
        "latency_ms": {"p50": latency.p50_ms, "p95": latency.p95_ms, "cv": latency.cv},
        "arena_bytes": latency.arena_bytes,
        "device": {**vars(latency.device), "fingerprint": latency.device.fingerprint},
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
