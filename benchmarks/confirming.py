"""How optimistic are the figures of a search, and how much do they move between seeds?

    python benchmarks/confirming.py                       about 30 minutes
    python benchmarks/confirming.py --data digits --trials 4 --epochs 2 --top 2 --seeds 2 --no-keep

Searches of a space with one seed for each front member and with the default of two. `nas confirm` trains the
best front members of each with new seeds and judges them on the test split, which no search uses.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from _common import absolute_path, common_parser, conditions, emit, table

FRONT_SEEDS = (1, 2)


def measure(data: str, options: Any, front_seeds: int) -> dict[str, Any]:
    """Search, confirm, and return how the figures of the front members differ."""
    import nas

    name = f"{Path(data).stem}-{front_seeds}"
    nas.search(
        options.space,
        data=data,
        train_limit=None if data == "digits" else options.train_limit,
        trials=options.trials,
        epochs=options.epochs,
        objectives=("accuracy", "params"),
        limits={"params": options.max_params},
        front_seeds=front_seeds,
        name=name,
        workers=options.workers,
    )
    found = nas.find(name).confirm(seeds=options.seeds, top=options.top, workers=options.workers)
    return {
        "data": Path(data).stem,
        "front_seeds": front_seeds,
        **found.as_data(),
        **figures(found.as_data()),
    }


def figures(found: dict[str, Any]) -> dict[str, Any]:
    """Return the spread between seeds, the change of order, and the number of ties of a confirmation."""
    from scipy.stats import kendalltau

    members = found["members"]
    spreads = [max(one["test"]["values"]) - min(one["test"]["values"]) for one in members]
    pairs = [one["search"] for one in members], [one["test"]["mean"] for one in members]
    tau = float(kendalltau(*pairs)[0]) if len(members) > 1 else None
    tied = sum(one["p_holm"] >= 0.05 for one in found["comparisons"])
    return {
        "spread_mean": sum(spreads) / len(spreads),
        "spread_max": max(spreads),
        "order": tau,
        "tied": tied,
        "pairs": len(found["comparisons"]),
    }


def rows(runs: list[dict[str, Any]]) -> Iterator[list[str]]:
    """Yield a row of the table for each search."""
    for run in runs:
        optimism = run["optimism"]
        yield [
            run["data"],
            str(run["front_seeds"]),
            str(len(run["members"])),
            *(f"{100 * optimism[s]:+.1f} ± {100 * optimism[f'{s}_se']:.1f}" for s in ("validation", "test")),
            f"{100 * run['spread_mean']:.1f}, {100 * run['spread_max']:.1f}",
            "-" if run["order"] is None else f"{run['order']:.2f}",
            f"{run['tied']} of {run['pairs']}",
            f"{len(run['confirmed'])} of {len(run['members'])}",
        ]


def text_of(result: dict[str, Any]) -> str:
    """Return the result as Markdown."""
    head = [
        "data", "seeds of a front member", "members confirmed", "optimism, new seeds", "optimism, test split",
        "range between seeds: mean, most", "order kept (Kendall)", "pairs without a significant difference",
        "still on the front",
    ]  # fmt: skip
    return "\n\n".join(
        (
            "# Confirmed figures",
            f"Searches of {result['trials']} trials of at most {result['max_params']:,} parameters, up to "
            f"{result['epochs']} epochs; each confirmed member trained with {result['seeds']} new seeds. "
            "Accuracy in points. Optimism: the search's figure minus the mean of the new seeds on the same "
            "validation examples, and on the test split.",
            table(head, rows(result["runs"])),
        )
    )


def main() -> None:
    """Parse the options, measure, and print the result."""
    parser = common_parser(__doc__)
    parser.add_argument("--data", action="append", type=absolute_path, help="may be repeated")
    parser.add_argument("--train-limit", type=int, default=3000, help="of data other than digits")
    parser.add_argument("--trials", type=int, default=12)
    parser.add_argument("--epochs", type=int, default=18)
    parser.add_argument("--seeds", type=int, default=5, help="of a confirmation")
    parser.add_argument("--top", type=int, default=5)
    parser.add_argument("--max-params", type=float, default=40_000)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    names = ("trials", "epochs", "seeds", "top", "max_params")
    result: dict[str, Any] = {"benchmark": "confirming", "conditions": conditions()}
    result |= {name: getattr(options, name) for name in names} | {"runs": []}
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for data in options.data or ["digits"]:
            for front_seeds in FRONT_SEEDS:
                result["runs"].append(measure(data, options, front_seeds))
                print(result["runs"][-1]["optimism"], file=sys.stderr)
        os.chdir("/")
    emit("confirming", result, text_of(result), options.json, not options.no_keep)


if __name__ == "__main__":
    main()
