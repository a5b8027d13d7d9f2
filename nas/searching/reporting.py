"""The report of a search: all that its page shows, put together from the plan, the trials and the record."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from nas.data import Dataset
from nas.device import reference_latency_ms
from nas.engines import sample_error_levels
from nas.errors import RecordError
from nas.evaluation import read_answers
from nas.report import (
    ExampleImages,
    answers_data,
    choice_indices,
    contrasts,
    draw_network,
    first_order_shares,
    grouped_names,
    rounded,
    search_history,
    trial_columns,
)
from nas.searching.plan import Plan
from nas.searching.planning import create_screen
from nas.searching.screening import Screen
from nas.space import SearchSpace, Setting, sample
from nas.trials import Trial, network_summary, pareto_front, pick_answers

__all__ = ["Reporter"]

DRAWN_SETTINGS = 400
"""Random settings from which the importance of open values is computed."""

DRAWS = 100
"""Draws from the posterior of the model, for intervals."""

MAX_DETAILED = 250
"""Networks whose drawing and learning curve a page has room for."""

MAX_FITTED = 150
"""Trials that the model is fitted to, evenly over the search."""

CURVE = ("epoch", "loss", "val_loss")
"""What a learning curve always has, next to the first quality."""


class Reporter:
    """Puts the data of a report together, and keeps what stays the same from one time to the next."""

    def __init__(
        self,
        name: str,
        plan: Plan,
        dataset: Dataset | None,
        checkpoint: Callable[[Trial], Path],
        link: Callable[[Trial], str] = lambda _: "",
    ) -> None:
        """Set what is reported.

        dataset: the first fold of the data of the search; None: the data is away, examples are left out.
        checkpoint: returns the checkpoint of a trial; raises RecordError if there is none.
        link: returns the address of a trial's page in MLflow, '' if it is unknown.
        """
        self._name, self._plan, self._dataset = name, plan, dataset
        self._checkpoint, self._link = checkpoint, link
        self._space = SearchSpace(plan.space)
        self._networks: dict[int, dict[str, Any]] = {}
        self._results: dict[tuple[int, int], dict[str, Any]] = {}
        self._images = None if dataset is None else ExampleImages(dataset, dataset.validation)

    def data(
        self,
        trials: Sequence[Trial],
        state: str,
        rejected: Mapping[str, int],
        *,
        worker_time: Mapping[str, float] | None = None,
        confirmed: Mapping[str, Any] | None = None,
        thorough: bool = True,
    ) -> dict[str, Any]:
        """Return the data of the page.

        rejected: how many candidates were rejected before training, by the reason.
        thorough: include the importance of open values and what a choice changes, for which the model is
        fitted.
        """
        criteria = self._plan.criteria
        trained = sorted((t for t in trials if t.state != "over_limit"), key=lambda trial: trial.number)
        front = pareto_front(trained, criteria)
        detailed = self._detailed(trained, front)
        starts = [dict(setting) for setting in self._plan.start]
        columns = trial_columns(trained, criteria, self._space.open_values)
        data: dict[str, Any] = {
            "name": self._name,
            "state": state,
            "made": f"{datetime.now():%Y-%m-%d %H:%M}",
            "subtitle": self._subtitle(),
            "mlflow": "",
            "others": [],
            "notices": self._notices(),
            **columns,
            "limits": dict(self._plan.limits),
            "start": [trial.number for trial in trained if dict(trial.setting) in starts],
            "labels": {trial.number: network_summary(trial) for trial in trained},
            "links": {t.number: link for t in detailed if (link := self._link(t))},
            "answers": self._answers(trained),
            "networks": {trial.number: self._network(trial) for trial in detailed},
            "curves": {trial.number: self._curve(trial) for trial in detailed},
            "classes": list(self._dataset.classes) if self._dataset else [],
            "results": self._all_results(front),
            "images": self._images.sources if self._images else [],
            "history": search_history(trained, criteria),
            "worker_time": {name: rounded(share) for name, share in (worker_time or {}).items()},
            "screened": Counter(rejected).most_common(),
            "confirmed": confirmed,
            "facts": self._facts(),
            "importance": [],
            "contrasts": [],
        }
        return data | (self._effects(trained) if thorough else {})

    def _subtitle(self) -> str:
        space = self._space.name or "inline"
        return f"Space {space} on {self._plan.data}, objectives {', '.join(self._plan.objectives)}"

    def _notices(self) -> list[str]:
        if self._dataset is None:
            return ["The data of the search is away or has changed: examples are not shown."]
        return []

    def _facts(self) -> list[tuple[str, str]]:
        plan = self._plan
        limits = ", ".join(f"{name} <= {maximum:,g}" for name, maximum in plan.limits.items())
        facts = {
            "space": f"{self._space.name}, {len(self._space.open_values)} open values",
            "data": f"{plan.data}, fingerprint {plan.fingerprint}",
            "validation": f"{plan.examples:,} examples",
            "engine": f"{plan.engine} {plan.sampler}".strip(),
            "budget": f"{plan.max_trials} trials" if plan.max_trials else f"{plan.seconds:,.0f} s",
            "epochs": str(plan.epochs),
            "limits": limits or "none",
            "file whose latency is measured": f"{plan.runtime}, {plan.precision}",
            "device": plan.device or "no latency is measured",
            "seed": str(plan.seed),
            "versions": ", ".join(f"{library} {version}" for library, version in plan.versions.items()),
        }
        if plan.signature is not None:
            facts["input"] = plan.signature.input_text()
            facts["output"] = plan.signature.output_text()
        return [(name, text) for name, text in facts.items() if text]

    def _detailed(self, trained: Sequence[Trial], front: Sequence[Trial]) -> list[Trial]:
        """Return the trials whose drawing and curve are shown: front members, then the least errors."""
        criteria = self._plan.criteria
        on_front = {trial.number for trial in front}
        ranked = sorted(
            (trial for trial in trained if trial.architecture is not None),
            key=lambda trial: (
                trial.number not in on_front,
                math.isnan(criteria.error(trial)),
                criteria.error(trial),
            ),
        )
        return ranked[:MAX_DETAILED]

    def _answers(self, trained: Sequence[Trial]) -> list[dict[str, Any]]:
        return [
            {
                "trial": answer.trial.number,
                "titles": list(answer.titles),
                "rules": list(answer.rules),
                "command": f"nas export {self._name} {answer.export_option}",
            }
            for answer in pick_answers(trained, self._plan.criteria)
        ]

    def _network(self, trial: Trial) -> dict[str, Any]:
        if trial.number not in self._networks:
            self._networks[trial.number] = draw_network(trial.design.architecture)
        return self._networks[trial.number]

    def _curve(self, trial: Trial) -> dict[str, list[Any]]:
        names = [*CURVE, self._plan.criteria.qualities[0].in_curve]
        present = [name for name in names if any(name in epoch for epoch in trial.curve)]
        return {name: [rounded(epoch.get(name)) for epoch in trial.curve] for name in ("epoch", "loss")} | {
            name: [rounded(epoch.get(name)) for epoch in trial.curve] for name in present
        }

    def _all_results(self, front: Sequence[Trial]) -> dict[int, dict[str, Any]]:
        if self._dataset is None or self._images is None:
            return {}
        shown = {}
        for trial in front:
            key = trial.number, trial.epochs
            if key not in self._results:
                try:
                    answers = read_answers(self._checkpoint(trial))
                except RecordError:  # its weights are deleted, or not delivered
                    continue
                split = self._dataset.validation
                self._results[key] = answers_data(answers, self._dataset, split, self._images)
            if self._results[key]:
                shown[trial.number] = self._results[key]
        return shown

    def _effects(self, trained: Sequence[Trial]) -> dict[str, Any]:
        """Return the importance of the open values and the comparison of choices, by the engine's model."""
        plan, values = self._plan, self._space.open_values
        if not trained or not values:
            return {}
        screen = create_screen(plan, self._space, None)
        rng = np.random.default_rng(0)
        settings = [sample(values, rng) for _ in range(DRAWN_SETTINGS)]
        fitted = [trained[n] for n in np.unique(np.linspace(0, len(trained) - 1, MAX_FITTED).astype(int))]
        levels = sample_error_levels(values, plan.criteria, screen.describe, fitted, settings, DRAWS)
        if levels is None:
            return {}
        names, indices = grouped_names(values), choice_indices(values, settings)
        costs = self._costs(screen, settings)
        outputs = {plan.criteria.qualities[0].name: levels}
        outputs |= {name: np.log(numbers)[None] for name, numbers in costs.items()}
        targets = []
        for target, output in outputs.items():
            shares = first_order_shares(names, indices, output)
            targets.append({"name": target, "shares": {name: _interval(one) for name, one in shares.items()}})
        equal = next(iter(costs))
        return {
            "importance": targets,
            "contrasts": [
                {**vars(one), **{name: rounded(getattr(one, name)) for name in ("ratio", "low", "high")}}
                for one in contrasts(values, indices, levels, costs[equal])
            ],
            "contrast_cost": equal,
        }

    def _costs(self, screen: Screen, settings: Sequence[Setting]) -> dict[str, np.ndarray]:
        """Return the costs of settings by name: parameters, FLOPs and a latency, all computed."""
        wanted = {cost.name for cost in self._plan.criteria.costs} & {"flops", "latency_ms", "peak_bytes"}
        rows = []
        for setting in settings:
            screened = screen.screen(setting)
            latency = reference_latency_ms(screened.design.architecture)
            rows.append({**screened.values, "latency_ms": latency})
        return {name: np.array([row[name] for row in rows]) for name in ("params", *sorted(wanted))}


def _interval(drawn: np.ndarray) -> list[float | int | None]:
    """Return the mean of draws and their interval of 95 %."""
    return [rounded(float(value)) for value in (drawn.mean(), *np.percentile(drawn, [2.5, 97.5]))]
