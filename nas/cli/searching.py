"""`nas search`: start or resume a search."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Annotated, Any

import typer

from nas.cli.arguments import panel_option
from nas.cli.completion import complete_engine, complete_network, complete_space
from nas.cli.data_options import with_data_options
from nas.errors import InputError

__all__ = ["add_to"]

HELP = """Search a space for networks that are accurate, small and fast.

Examples:

    nas search --space xception_like
    nas search --space xception_like --data fashion_mnist.npz --trials 50 --max-params 20000
    nas search --space mine.yaml --data photos/ --image-size 64 --time 2h --name photos
    nas search --resume photos --trials 100

Augmentation (flip, crop, rotation, mixup, ...) is set in the file of the space: `training: {flip: true}`;
its values may be open. `nas space show` lists what a space uses.

Stop it at any moment with Ctrl-C; `nas search --resume` resumes the latest search.

Exit code 1: no network was trained to its full length. 3: trials wait to be delivered to MLflow (`nas sync`).
"""

SECONDS_PER_UNIT = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}

UNDELIVERED = 3
"""Exit code of a search that has ended, with trials that could not be delivered to MLflow."""

FLAT = 0.001
"""Share of hypervolume below which `--stop-when-flat` ends a search."""


def parse_duration(text: str | None) -> float | None:
    """Return the seconds of a duration such as 90s, 30m or 2h; raises InputError."""
    if text is None:
        return None
    match = re.fullmatch(r"([0-9.]+)\s*(s|m|min|h)?", text.strip())
    try:
        if match is None:
            raise ValueError
        return float(match[1]) * SECONDS_PER_UNIT[match[2] or "s"]
    except ValueError:
        raise InputError(
            f"a duration must be a number with s, m or h, got '{text}'; write 90s, 30m or 2h"
        ) from None


def _split_names(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


OBJECTIVES = "Objectives and limits"


FIELDS = MappingProxyType(
    {
        "time": "seconds",
        "stop_when_flat": "flat",
        "min_accuracy": "min_quality",
        "trial_time": "trial_seconds",
    }
)
"""The field of the plan by the name of an option, where they differ."""

NOT_IN_PLAN = ("resume", "retry_failed", "workers", "json")
"""Options that concern one run of a search, and not its plan."""


def changed_fields(context: typer.Context) -> list[str]:
    """Return the fields of the plan that the options of a resumed search change.

    Raises InputError for an option that cannot change.
    """
    from nas.searching import CHANGEABLE

    changed = []
    for option in context.command.params:
        name = str(option.name)
        source = context.get_parameter_source(name)
        if name in NOT_IN_PLAN or source is None or source.name.startswith("DEFAULT"):
            continue
        field = FIELDS.get(name, name)
        if field not in CHANGEABLE:
            raise InputError(
                "--resume takes only options that keep the trials of the search comparable "
                f"({_names_of(CHANGEABLE)}), got {_written(option, context.params[name])}; omit it, or start "
                "a new search with it, which can learn from this one with --start-from-search"
            )
        changed.append(field)
    return changed


def _written(option: Any, value: Any) -> str:
    """Return an option and its value as a user writes them."""
    if isinstance(value, bool):
        return str(option.opts[0] if value else option.secondary_opts[0])
    values = value if isinstance(value, list) else [value]
    return " ".join([option.opts[0], *(f"{one:g}" if isinstance(one, float) else str(one) for one in values)])


def _names_of(fields: Iterable[str]) -> str:
    names = {field: name for name, field in FIELDS.items()}
    return ", ".join(sorted(f"--{names.get(field, field)}".replace("_", "-") for field in fields))


def search(
    context: typer.Context,
    space: Annotated[
        str,
        typer.Option(
            help="A shipped space (`nas space list`) or a YAML file; its `training` holds the augmentation.",
            autocompletion=complete_space,
        ),
    ] = "xception_like",
    data: Annotated[
        str,
        panel_option("Data", "digits, mnist, fashion_mnist, cifar10, cifar100, or a file or folder of data."),
    ] = "digits",
    data_options: Mapping[str, Any] = MappingProxyType({}),
    objectives: Annotated[
        str,
        panel_option(
            OBJECTIVES,
            "accuracy, balanced_accuracy, macro_f1, auc, loss, mean_iou, map, label_accuracy, r2, mae, rmse, "
            "params, flops, latency, size, memory; comma-separated.  [default: accuracy,params,latency; "
            "balanced_accuracy for classes of very different sizes, mean_iou for segmentation, map for "
            "several labels, r2 for regression]",
        ),
    ] = "",
    max_params: Annotated[float | None, panel_option(OBJECTIVES, "Greatest number of parameters.")] = None,
    max_flops: Annotated[
        float | None, panel_option(OBJECTIVES, "Greatest number of FLOPs per image.")
    ] = None,
    max_latency_ms: Annotated[
        float | None, panel_option(OBJECTIVES, "Greatest latency in milliseconds per image.")
    ] = None,
    max_size_kb: Annotated[float | None, panel_option(OBJECTIVES, "Greatest size of the file in kB.")] = None,
    max_memory_kb: Annotated[
        float | None, panel_option(OBJECTIVES, "Greatest peak memory of activations in kB.")
    ] = None,
    min_accuracy: Annotated[
        float | None,
        panel_option(
            OBJECTIVES,
            "Quality floor: the front has no network below it, as in 0.9.  [default: the quality whose error "
            "is the geometric mean of the errors of guessing and of the best network]",
        ),
    ] = None,
    trials: Annotated[
        int | None,
        panel_option("Budget", "Number of candidates to train.  [default: 50, or no limit with --time]"),
    ] = None,
    time: Annotated[
        str | None,
        panel_option(
            "Budget", "Time limit: 90s, 30m, 2h. Without --trials, gains are weighted by training time."
        ),
    ] = None,
    stop_when_flat: Annotated[
        bool,
        panel_option("Budget", "End when another trial is expected to add under 0.1 % of hypervolume."),
    ] = False,
    epochs: Annotated[
        int | None,
        panel_option("Training", "Full length of a trial.  [default: 27, or 9 from 10,000 images on]"),
    ] = None,
    min_epochs: Annotated[
        int | None,
        panel_option(
            "Training", "Epochs after which trials are first compared.  [default: a ninth of --epochs]"
        ),
    ] = None,
    reduction: Annotated[
        int,
        panel_option("Training", "Promote 1 in N trials of similar cost; front members are always promoted."),
    ] = 3,
    halving: Annotated[
        bool, panel_option("Training", "Stop the worse trials early, or train each trial in full.")
    ] = True,
    repeats: Annotated[
        int, panel_option("Training", "Train each network with N seeds; the mean counts.")
    ] = 1,
    folds: Annotated[
        int, panel_option("Training", "Cross-validate: train once for each of N folds; the mean counts.")
    ] = 1,
    front_seeds: Annotated[
        int, panel_option("Training", "At the end, train front members with N seeds; the mean counts.")
    ] = 2,
    trial_time: Annotated[
        str | None, panel_option("Training", "A trial that takes longer, such as 10m, has failed.")
    ] = None,
    keep_weights: Annotated[
        bool,
        panel_option("Training", "Keep the weights of trials that are dominated beyond noise."),
    ] = False,
    engine: Annotated[
        str,
        panel_option("Engine", "cheap-aware, optuna or keras-tuner.", autocompletion=complete_engine),
    ] = "cheap-aware",
    sampler: Annotated[
        str, panel_option("Engine", "optuna: tpe, nsga2, random; keras-tuner: bayesian, random.")
    ] = "",
    start_from: Annotated[
        list[str] | None,
        panel_option(
            "Engine",
            "Try this network first: a shipped name, a file or NAME:TRIAL; may be repeated.",
            autocompletion=complete_network,
        ),
    ] = None,
    start_from_search: Annotated[
        str,
        panel_option(
            "Engine",
            "Learn from the trials of these searches, comma-separated, on the same or other data.",
            metavar="NAME[,NAME]",
        ),
    ] = "",
    seed: Annotated[int, panel_option("Engine", "Seed of the sampler and the training.")] = 0,
    deterministic: Annotated[
        bool,
        panel_option("Engine", "Equal options give equal trials, for any number of workers."),
    ] = False,
    workers: Annotated[
        int | None,
        panel_option("Engine", "Processes that train; 0: this process.  [default: one per core]"),
    ] = None,
    precision: Annotated[
        str,
        panel_option(
            "Latency", "Of the file that is judged and timed: float32, float16, dynamic_int8 or int8."
        ),
    ] = "float32",
    latency_threads: Annotated[int, panel_option("Latency", "Threads of the runtime that is timed.")] = 1,
    runtime: Annotated[str, panel_option("Latency", "litert or onnx.")] = "litert",
    name: Annotated[
        str | None, typer.Option(help="A name for the search.  [default: the space and the time]")
    ] = None,
    resume: Annotated[
        str | None, typer.Option(help="Resume this search; without a name, the latest.", metavar="[NAME]")
    ] = None,
    retry_failed: Annotated[
        bool, typer.Option(help="With --resume: train the failed trials again, before any new one.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the front as JSON.")] = False,
) -> None:
    """Search a space."""
    from nas.cli.search_result import print_result
    from nas.cli.terminal import SearchView, errors
    from nas.executors import worker_count
    from nas.searching import SearchOptions, prepare_search, resume_search

    def report(line: str) -> None:
        errors.print(line, soft_wrap=True)

    limits = {
        "params": max_params,
        "flops": max_flops,
        "latency_ms": max_latency_ms,
        "size_bytes": max_size_kb and 1000 * max_size_kb,
        "peak_bytes": max_memory_kb and 1000 * max_memory_kb,
    }
    values = {
        "data": data,
        **data_options,
        "objectives": _split_names(objectives),
        "limits": {key: value for key, value in limits.items() if value is not None},
        "min_quality": min_accuracy,
        "trials": trials,
        "seconds": parse_duration(time),
        "flat": FLAT if stop_when_flat else None,
        "epochs": epochs,
        "reduction": reduction,
        "min_epochs": min_epochs,
        "halving": halving,
        "repeats": repeats,
        "folds": folds,
        "front_seeds": front_seeds,
        "trial_seconds": parse_duration(trial_time),
        "keep_weights": keep_weights,
        "engine": engine,
        "sampler": sampler,
        "start_from_search": _split_names(start_from_search),
        "seed": seed,
        "deterministic": deterministic,
        "precision": precision,
        "latency_threads": latency_threads,
        "runtime": runtime,
    }
    processes = worker_count(workers)
    if resume is not None:
        changes = {field: values[field] for field in changed_fields(context)}
        session = resume_search(
            resume or None, changes, workers=processes, retry_failed=retry_failed, progress=report
        )
    elif retry_failed:
        raise InputError(
            "--retry-failed needs a search with failed trials, got no --resume; add --resume NAME"
        )
    else:
        options = SearchOptions.parse(values)
        session = prepare_search(space, options, name, start_from or (), workers=processes, progress=report)
    report(session.introduction())
    with SearchView(session.plan.criteria) as view:
        result = session.run(view)
    print_result(result, json)
    if notice := result.status.delivery_notice:
        report(f"{notice} `nas sync {result.name}` delivers them, and the next command of `nas` tries to.")
        raise typer.Exit(UNDELIVERED)


def add_to(app: typer.Typer) -> None:
    """Add this module's command."""
    app.command(help=HELP)(with_data_options(search))
