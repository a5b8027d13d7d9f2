"""The options of a search, and its plan: all that is needed to resume it, as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field

from nas.architecture import Scalar
from nas.backends import Precision
from nas.data import DataOptions, Signature
from nas.engines import ENGINES
from nas.errors import InputError, nearest
from nas.trials import Criteria, EarlierSearch, Limit, Objective, parse_objectives

__all__ = ["CHANGEABLE", "Plan", "SearchOptions"]

CHANGEABLE = frozenset(
    {"trials", "seconds", "flat", "min_quality", "front_seeds", "trial_seconds", "keep_weights"}
)
"""Options that may change when a search is resumed: recorded trials stay comparable with new ones. Limits are
not among them, because candidates were rejected and trials were trained within the old ones."""

DEFAULT_TRIALS = 50
"""Number of trials if neither `trials` nor `seconds` is given."""

Positive = Annotated[int, Field(ge=1)]


class SearchOptions(DataOptions):
    """What a user asks of a search. The command line, the Python API and the record share these names."""

    model_config = ConfigDict(strict=False, use_attribute_docstrings=True)  # JSON has no tuples

    data: str = "digits"
    """The name of a data set, a file or a folder."""
    objectives: tuple[str, ...] = ()
    """Names of the objectives; empty: the quality of the data, params and latency. The quality is `mean_iou`
    for segmentation, `map` for several labels, `r2` for regression, `balanced_accuracy` if the largest class
    has over 3 times the training examples of the smallest, else `accuracy`."""
    limits: dict[str, float] = Field(default_factory=dict)
    """Greatest allowed values by name, for example `{params: 20000, latency_ms: 0.5}`."""
    min_quality: float | None = None
    """Quality floor: a network whose first quality is less is not on the front. `null`: the quality whose
    error is the geometric mean of the errors of guessing and of the best network so far."""
    engine: Literal["cheap-aware", "optuna", "keras-tuner"] = "cheap-aware"
    """The engine that proposes settings."""
    sampler: str = ""
    """The sampler of the engine; empty: the first one of the engine."""
    start_from_search: tuple[str, ...] = ()
    """Names of earlier searches whose trials the engine's model learns from (cheap-aware only)."""
    trials: Positive | None = None
    """Number of candidates to train; `null`: 50, or without limit if `seconds` is given."""
    seconds: Annotated[float, Field(gt=0)] | None = None
    """Time limit of the search in seconds."""
    flat: Annotated[float, Field(gt=0, lt=1)] | None = None
    """End when one more trial is expected to add less than this share of the hypervolume."""
    epochs: Positive | None = None
    """Full length of a trial in epochs; `null`: 27, or 9 from 10,000 training examples on."""
    reduction: Annotated[int, Field(ge=2)] = 3
    """Promote 1 in N trials of similar cost; front members are always promoted."""
    min_epochs: Positive | None = None
    """Epochs of the first rung; `null`: `epochs / reduction**2`."""
    halving: bool = True
    """Compare trials at rungs and stop the worse ones early; `false`: train each trial in full."""
    repeats: Positive = 1
    """Number of seeds that each network is trained with; the mean counts."""
    folds: Positive = 1
    """Number of folds of cross-validation: each trial is trained once for each fold, and the mean counts."""
    front_seeds: Positive = 2
    """Number of seeds that each front member is trained with at the end of the search; the mean counts."""
    keep_weights: bool = False
    """Keep the weights of every trial; `false`: delete those of a trial that one trained as long dominates
    beyond noise."""
    seed: Annotated[int, Field(ge=0, le=2**32 - 1)] = 0
    """Seed of the sampler and the training."""
    deterministic: bool = False
    """Let no decision depend on time: equal options give equal trials whatever the number of workers."""
    precision: Precision = "float32"
    """Precision of the file whose quality, latency and size are measured."""
    latency_threads: Positive = 1
    """Threads of the runtime that is timed."""
    runtime: Literal["litert", "onnx"] = "litert"
    """The runtime that is timed."""
    trial_seconds: Annotated[float, Field(gt=0)] | None = None
    """A trial that takes longer than this, in seconds, has failed."""

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> Self:
        """Validate values and their combinations; raises InputError."""
        options = super().parse(values)
        objectives = options.parsed_objectives() if options.objectives else ()
        for name, maximum in options.limits.items():
            if not maximum > 0:
                raise InputError(f"a limit must be over 0, got {maximum:g} for {name}; omit it for no limit")
        if options.min_quality is not None and not 0 <= options.min_quality < 1:
            raise InputError(
                f"--min-accuracy must be a share of at least 0 and less than 1, got {options.min_quality:g}; "
                "use for example 0.9, or 0 for no floor"
            )
        quality = next((objective for objective in objectives if objective.trained), None)
        if options.min_quality is not None and quality and not quality.maximize:
            name = quality.name.removeprefix("val_")
            raise InputError(
                f"--min-accuracy is a share and does not fit the first quality, {name}, got "
                f"{options.min_quality:g}; omit it, or name another quality first"
            )
        timed = {"--time": options.seconds, "--max-latency-ms": options.limits.get("latency_ms")}
        given = [name for name, value in timed.items() if value is not None]
        if options.deterministic and given:
            raise InputError(
                f"with --deterministic no decision may depend on what is timed, got {' and '.join(given)}; "
                "use --trials, or limits on params and flops"
            )
        samplers = ENGINES[options.engine]
        if options.sampler and options.sampler not in samplers:
            fix = nearest(options.sampler, samplers) if samplers else "omit --sampler"
            raise InputError(f"engine {options.engine} has no sampler '{options.sampler}'; {fix}")
        if options.start_from_search and options.engine != "cheap-aware":
            raise InputError(
                f"--start-from-search needs the engine cheap-aware, got {options.engine}; omit one of the two"
            )
        return options

    @property
    def max_trials(self) -> int | None:
        """Number of candidates to train, None without limit."""
        return self.trials or (DEFAULT_TRIALS if self.seconds is None else None)

    def parsed_objectives(self) -> tuple[Objective, ...]:
        """Return the objectives."""
        return parse_objectives(self.objectives)

    def parsed_limits(self) -> tuple[Limit, ...]:
        """Return the limits."""
        return tuple(Limit(name, maximum) for name, maximum in self.limits.items())


class Plan(SearchOptions):
    """Complete options, the space bound to the data, and what was found out before the first trial."""

    space: dict[str, Any]
    """The content of the space's file, with input shape, classes and task of the data."""
    objectives: tuple[str, ...] = ("accuracy", "params", "latency")
    """Names of the objectives."""
    epochs: Positive = 27
    """Full length of a trial in epochs."""
    start: tuple[dict[str, Scalar], ...] = ()
    """Settings to try before the engine proposes any."""
    earlier: tuple[EarlierSearch, ...] = ()
    """What is used of the searches in `start_from_search`, so that these may be deleted."""
    judged_precision: Precision = "float32"
    """Precision of the file whose qualities count; float32 in a record of earlier versions."""
    signature: Signature | None = None
    """What the inputs and outputs of the networks mean; `null` in a record of 0.1.0."""
    device: str = ""
    """Fingerprint of the device whose latencies the record holds; empty if none are measured."""
    fingerprint: str = ""
    """Fingerprint of the data."""
    bounds: dict[str, tuple[float, float]] = Field(default_factory=dict)
    """Least and greatest value of each cost in the space: the scale of the hypervolume."""
    examples: Positive = 800
    """Number of validation examples, which limits the differences of errors that are significant."""
    guess: float | None = None
    """Error of the best constant answer on the validation split, by the first quality."""
    versions: dict[str, str] = Field(default_factory=dict)
    """Versions of what determines the figures of a training: Python, nas and the libraries."""
    scales: dict[str, float] = Field(default_factory=dict)
    """Value of the best constant answer, by the name of each objective that has the unit of the data."""

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> Self:
        """Validate the values of a record; raises InputError."""
        # 0.1.0 splits the data by the seed of the search.
        return super().parse({"split_seed": values.get("seed", 0), **values})

    def parsed_objectives(self) -> tuple[Objective, ...]:
        """Return the objectives, with their scales for the data."""
        parsed = super().parsed_objectives()
        return tuple(replace(one, scale=self.scales.get(one.name, 1.0)) for one in parsed)

    @property
    def criteria(self) -> Criteria:
        """The criteria by which trials are compared."""
        objectives, bounds = self.parsed_objectives(), MappingProxyType(self.bounds)
        return Criteria(objectives, self.examples, self.guess, self.min_quality, bounds)

    @property
    def task(self) -> str:
        """The task of the networks, see `Architecture.task`."""
        return str(self.space.get("task", "classification"))
