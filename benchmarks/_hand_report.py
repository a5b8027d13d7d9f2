"""The comparison of against_hand.py: ladders and fronts, seed by seed, and medians over the seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from _common import median, table

from nas.trials import OBJECTIVES, Criteria

__all__ = ["SeedRuns", "quality_floor", "summarize", "text_of"]

Network = Mapping[str, Any]
"""A trained network: accuracy, test_accuracy, params, latency_ms, seconds."""

COSTS = {"params": "smaller", "latency_ms": "faster"}
"""The costs, and the name of the ratio of a rung's cost to that of a member of the front."""

FIGURES = {
    "best_rung": ("best accuracy of the ladders", ".2%"),
    "best_member": ("best accuracy of the front, trained again", ".2%"),
    "best_is_reached": ("the front's best reaches that of the ladders within one standard error", ".0%"),
    "dominated": ("rungs that a member dominates", ".0%"),
    "smaller": ("median rung: parameters, times as many as the smallest member as accurate", ".3g"),
    "faster": ("median rung: latency, times that of the fastest member as accurate", ".3g"),
    "trials_below_floor": ("trials below the quality floor", ".0%"),
    "members_below_floor": ("members of the front below the quality floor", ".0f"),
    "search_seconds": ("seconds of the search", ".0f"),
    "ladder_seconds": ("seconds of the ladders, added up", ".0f"),
}
"""The figures of a seed that are summarized, with their text and format."""


@dataclass(frozen=True)
class SeedRuns:
    """What has finished for one seed."""

    seed: int
    rungs: Mapping[tuple[str, int], Network]  # by family and rung
    members: Sequence[Network]  # of the front, trained again; empty if any is missing
    trials: Sequence[Mapping[str, Any]]  # of the search, with their accuracy
    search_seconds: float | None
    validation: int  # number of validation examples
    majority: float  # share of the largest class among them

    def standard_error(self, accuracy: float) -> float:
        """Return the standard error of a validation accuracy, with at least one wrong answer."""
        error = max(1 - accuracy, 1 / self.validation)
        return math.sqrt(error * (1 - error) / self.validation)


def quality_floor(best: float, majority: float, validation: int) -> float:
    """Return the quality floor of a search, given its best accuracy."""
    criteria = Criteria((OBJECTIVES["accuracy"],), validation, guess=1 - majority)
    return 1 - criteria.floor(1 - best)


def compare_rung(rung: Network, runs: SeedRuns) -> dict[str, float]:
    """Return how many times smaller and faster the front is at a rung's accuracy; 0 if it is not reached.

    The smallest and the fastest member that is at least as accurate may differ; the rung is dominated if one
    member has neither more parameters nor a higher latency. `..._within_error`: the accuracy may be one
    standard error of the rung's lower.
    """
    as_accurate = [m for m in runs.members if m["accuracy"] >= rung["accuracy"]]
    slack = runs.standard_error(rung["accuracy"])
    within = [m for m in runs.members if m["accuracy"] >= rung["accuracy"] - slack]
    found = {}
    for cost, name in COSTS.items():
        for suffix, members in (("", as_accurate), ("_within_error", within)):
            found[name + suffix] = rung[cost] / min(m[cost] for m in members) if members else 0.0
    for suffix, members in (("", as_accurate), ("_within_error", within)):
        found["dominated" + suffix] = float(any(all(m[c] <= rung[c] for c in COSTS) for m in members))
    return found


def summarize_seed(runs: SeedRuns) -> dict[str, Any]:
    """Return the figures of one seed; those that need missing runs are left out."""
    found: dict[str, Any] = {"seed": runs.seed}
    if runs.rungs:
        found["ladder_seconds"] = sum(rung["seconds"] for rung in runs.rungs.values())
        found["best_rung"] = max(rung["accuracy"] for rung in runs.rungs.values())
    if runs.trials:
        accuracies = [trial["accuracy"] for trial in runs.trials]
        floor = quality_floor(max(accuracies), runs.majority, runs.validation)
        found["search_seconds"] = runs.search_seconds
        found["floor"] = floor
        found["trials_below_floor"] = sum(accuracy < floor for accuracy in accuracies) / len(accuracies)
        found["members_below_floor"] = sum(member["accuracy"] < floor for member in runs.members)
    if runs.members:
        found["best_member"] = max(member["accuracy"] for member in runs.members)
        found["members"] = list(runs.members)
    if runs.members and runs.rungs:
        slack = runs.standard_error(found["best_rung"])
        found["best_is_reached"] = found["best_member"] >= found["best_rung"] - slack
        found["standard_error"] = slack
        compared = [compare_rung(rung, runs) for rung in runs.rungs.values()]
        found["dominated"] = sum(row["dominated"] for row in compared) / len(compared)
        for name in COSTS.values():
            found[name] = median(row[name] for row in compared)
    return found


def summarize(seeds: Sequence[SeedRuns]) -> dict[str, Any]:
    """Return a row for each rung and the figures of each seed, with medians over the seeds."""
    rows = []
    for family, rung in dict.fromkeys(key for runs in seeds for key in runs.rungs):
        trained = [(runs, runs.rungs[family, rung]) for runs in seeds if (family, rung) in runs.rungs]
        networks = [network for _, network in trained]
        row = {"family": family, "rung": rung, "seeds": len(trained)}
        row |= {name: networks[0][name] for name in ("width", "rate", "params")}
        for name in ("latency_ms", "accuracy", "test_accuracy", "seconds"):
            if all(name in network for network in networks):
                row[name] = median(network[name] for network in networks)
        compared = [compare_rung(network, runs) for runs, network in trained if runs.members]
        row["compared_seeds"] = len(compared)
        for name in compared[0] if compared else ():
            row[name] = median(comparison[name] for comparison in compared)
        rows.append(row)
    by_seed = [summarize_seed(runs) for runs in seeds]
    names = (
        "best_rung",
        "best_member",
        "best_is_reached",
        "dominated",
        *COSTS.values(),
        "trials_below_floor",
    )
    names += ("members_below_floor", "search_seconds", "ladder_seconds")
    medians = {
        name: median(values) for name in names if (values := [row[name] for row in by_seed if name in row])
    }
    return {"median": medians, "rungs": rows, "seeds": by_seed}


def text_of(result: Mapping[str, Any]) -> str:
    """Return the result as Markdown."""
    task, medians = result["task"], result["median"]
    head = ["family", "width", "rate", "params", "ms", "accuracy", "test", "smaller", "faster", "dominated"]
    head += ["smaller within 1 SE", "faster within 1 SE"]
    rows = [
        (
            row["family"],
            row["width"] if isinstance(row["width"], int | float) else "-".join(map(str, row["width"])),
            row["rate"],
            f"{row['params']:,}",
            f"{row['latency_ms']:.3g}",
            f"{row['accuracy']:.2%}",
            f"{row['test_accuracy']:.2%}" if "test_accuracy" in row else "",
            *(_ratio(row, name) for name in ("smaller", "faster")),
            f"{row['dominated']:.0%}" if "dominated" in row else "",
            *(_ratio(row, f"{name}_within_error") for name in ("smaller", "faster")),
        )
        for row in result["rungs"]
    ]
    figures = [
        (
            text,
            format(medians[name], form),
            ", ".join(format(seed[name], form) for seed in result["seeds"] if name in seed),
        )
        for name, (text, form) in FIGURES.items()
        if name in medians
    ]
    size = f", {task['image_size']}x{task['image_size']}" if task["image_size"] else ""
    limit = f", {task['train_limit']:,} training images" if task["train_limit"] else ""
    return "\n\n".join(
        (
            f"# A search against networks written by hand: {task['data']}{size}{limit}",
            f"The front of a search of {task['space']} with {task['trials']} trials ({task['label']}), each "
            f"member trained again, and ladders trained by Keras' fit, all for {task['epochs']} epochs. "
            "smaller, faster: how many times the parameters and the latency of the smallest and the fastest "
            "member that is at least as accurate fit into those of the rung; 0: no member is as accurate. "
            "Medians over the seeds.",
            table(head, rows),
            table(("", "median", "by seed"), figures),
        )
    )


def _ratio(row: Mapping[str, Any], name: str) -> str:
    return f"{row[name]:.3g}" if name in row else ""
