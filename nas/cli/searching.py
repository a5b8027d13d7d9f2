"""`nas search`: begin a search or go on with one."""

from __future__ import annotations

import re
from typing import Annotated, Any

import typer

from nas.errors import InputError

__all__ = ["add_to", "panel"]

EXAMPLES = """Search a space for networks that are accurate, small and fast.

Examples:

    nas search --space xception_like
    nas search --space xception_like --data fashion_mnist.npz --trials 50 --max-params 20000
    nas search --space mine.yaml --data photos/ --image-size 64 --time 2h --name photos
    nas search --resume photos --trials 100

Stop it at any moment with Ctrl-C; `nas search --resume` goes on with the latest search.
"""

UNITS = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


def seconds(text: str | None) -> float | None:
    """Read a duration such as 90s, 30m or 2h; raises InputError."""
    if text is None:
        return None
    match = re.fullmatch(r"([0-9.]+)\s*(s|m|min|h)?", text.strip())
    try:
        if match is None:
            raise ValueError
        return float(match[1]) * UNITS[match[2] or "s"]
    except ValueError:
        raise InputError(
            f"a duration must be a number with s, m or h, got '{text}'; write 90s, 30m or 2h"
        ) from None


def panel(name: str, text: str) -> Any:
    """Give an option that stands in a panel of the help."""
    return typer.Option(help=text, rich_help_panel=name, show_default=True)


def search(
    space: Annotated[
        str, typer.Option(help="A shipped space (`nas space list`) or a YAML file.")
    ] = "xception_like",
    data: Annotated[
        str, panel("Data", "digits, mnist, fashion_mnist, cifar10, cifar100, a .npz, .zip or folder.")
    ] = "digits",
    image_size: Annotated[int | None, panel("Data", "Resize every image to a square of this side.")] = None,
    train_limit: Annotated[int | None, panel("Data", "Train on at most so many images, stratified.")] = None,
    ignore_label: Annotated[int | None, panel("Data", "Segmentation: the label that is not counted.")] = None,
    objectives: Annotated[
        str,
        panel(
            "Goals",
            "accuracy, mean_iou, params, flops, latency, size, memory.  [default: accuracy,params,latency]",
        ),
    ] = "",
    max_params: Annotated[float | None, panel("Goals", "Train nothing with more parameters.")] = None,
    max_flops: Annotated[float | None, panel("Goals", "Train nothing with more FLOPs an image.")] = None,
    max_latency_ms: Annotated[float | None, panel("Goals", "Train nothing slower an image.")] = None,
    max_size_kb: Annotated[float | None, panel("Goals", "Train nothing whose file is larger.")] = None,
    max_memory_kb: Annotated[
        float | None, panel("Goals", "Train nothing with greater peak activations.")
    ] = None,
    trials: Annotated[
        int | None, panel("Budget", "Candidates to train.  [default: 50, without limit with --time]")
    ] = None,
    time: Annotated[
        str | None, panel("Budget", "End after 90s, 30m, 2h; without --trials, gains count by their seconds.")
    ] = None,
    stop_when_flat: Annotated[
        bool, panel("Budget", "End when another trial is expected to gain under 0.1 % of hypervolume.")
    ] = False,
    epochs: Annotated[
        int | None, panel("Training", "A trial's full length.  [default: 27, or 9 from 10,000 images on]")
    ] = None,
    min_epochs: Annotated[
        int | None, panel("Training", "Compare trials from here on.  [default: a ninth of --epochs]")
    ] = None,
    reduction: Annotated[
        int, panel("Training", "Of so many trials of like cost one goes on; what leads always does.")
    ] = 3,
    halving: Annotated[bool, panel("Training", "Stop the worse trials early, or train each in full.")] = True,
    repeats: Annotated[int, panel("Training", "Train each network with so many seeds; the mean counts.")] = 1,
    trial_time: Annotated[str | None, panel("Training", "A trial that takes longer has failed.")] = None,
    engine: Annotated[str, panel("Engine", "cheap-aware, optuna or keras-tuner.")] = "cheap-aware",
    sampler: Annotated[
        str, panel("Engine", "optuna: tpe, nsga2, random; keras-tuner: bayesian, random.")
    ] = "",
    start_from: Annotated[
        list[str] | None,
        panel("Engine", "Begin with this network, a shipped name or a file; may be repeated."),
    ] = None,
    seed: Annotated[int, panel("Engine", "Of the sampler, the splits and the training.")] = 0,
    workers: Annotated[
        int | None, panel("Engine", "Processes that train; 0: this one.  [default: one a core]")
    ] = None,
    precision: Annotated[str, panel("Latency", "float32, float16, dynamic_int8 or int8.")] = "float32",
    latency_threads: Annotated[int, panel("Latency", "Threads of the runtime that is timed.")] = 1,
    runtime: Annotated[str, panel("Latency", "litert or onnx.")] = "litert",
    name: Annotated[
        str | None, typer.Option(help="A name for the search.  [default: the space and the time]")
    ] = None,
    resume: Annotated[
        str | None, typer.Option(help="Go on with this search; without a name, the latest.", metavar="[NAME]")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the front as JSON.")] = False,
) -> None:
    """Search a space."""
    from nas.cli.results import print_front
    from nas.cli.show import SearchView, errors
    from nas.searching import SearchOptions, prepare_search, resume_search

    changes: dict[str, Any] = {}
    if trials is not None:
        changes["trials"] = trials
    if time is not None:
        changes["seconds"] = seconds(time)
    if stop_when_flat:
        changes["flat"] = 0.001
    from nas.executors import default_workers

    processes = default_workers() if workers is None else workers
    if processes < 0:
        raise InputError(f"--workers must be 0 or more, got {processes}; leave it out for one a core")

    def tell(text: str) -> None:
        errors.print(text, soft_wrap=True)

    if resume is not None:
        prepared = resume_search(resume or None, changes, workers=processes, progress=tell)
    else:
        limits = {
            "params": max_params,
            "flops": max_flops,
            "latency_ms": max_latency_ms,
            "size_bytes": max_size_kb and 1000 * max_size_kb,
            "peak_bytes": max_memory_kb and 1000 * max_memory_kb,
        }
        asked = {
            "data": data,
            "image_size": image_size,
            "train_limit": train_limit,
            "ignore_label": ignore_label,
            "limits": {key: value for key, value in limits.items() if value is not None},
            "epochs": epochs,
            "reduction": reduction,
            "min_epochs": min_epochs,
            "halving": halving,
            "repeats": repeats,
            "trial_seconds": seconds(trial_time),
            "engine": engine,
            "sampler": sampler,
            "seed": seed,
            "precision": precision,
            "latency_threads": latency_threads,
            "runtime": runtime,
            **changes,
        }
        if objectives:
            asked["objectives"] = [word.strip() for word in objectives.split(",")]
        prepared = prepare_search(space, SearchOptions.parse({key: value for key, value in asked.items() if value is not None}), name, start_from or (), workers=processes, progress=tell)
    errors.print(prepared.introduction(), soft_wrap=True)
    with SearchView(prepared.plan.parsed_objectives()) as view:
        result = prepared.run(view)
    print_front(result, json)


def add_to(app: typer.Typer) -> None:
    """Add this module's command."""
    app.command(help=EXAMPLES)(search)
