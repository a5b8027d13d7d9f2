"""What does `--deterministic` cost, and how well does the computed latency rank networks?

    python benchmarks/deterministic.py                    about 15 minutes
    python benchmarks/deterministic.py --seeds 1 --trials 6 --networks 4 --no-keep

Searches of a space on digits with and without the option, in turn. Both are scored by the same box of
objectives. The computed latency is compared with the measured one over random networks of shipped spaces.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from _common import common_parser, conditions, emit, median, table

SPACES = {
    "xception_like": (16, 16, 1),
    "residual": (32, 32, 3),
    "mobilenet_like": (64, 64, 3),
    "vgg_like": (28, 28, 1),
    "separable_small": (48, 48, 3),
}


def search(space: str, trials: int, epochs: int, seed: int, deterministic: bool, name: str) -> dict[str, Any]:
    """Run a search; return seconds, the share of the workers' time that they worked, and its trials."""
    import nas

    started = time.perf_counter()
    result = nas.search(
        space, trials=trials, epochs=epochs, seed=seed, deterministic=deterministic, name=name, workers=2
    )
    idle = sum(result.worker_time.get(part, 0.0) for part in ("wait", "end"))
    return {"seconds": time.perf_counter() - started, "idle_share": idle, "result": result}


def compare(space: str, trials: int, epochs: int, seeds: int) -> dict[str, Any]:
    """Search with and without the option; return ratios of time and differences of hypervolume."""
    from nas.trials import hypervolume_curve

    rows = []
    for seed in range(seeds):
        found = {
            option: search(space, trials, epochs, seed, option, f"s{seed}{'d' if option else 'n'}")
            for option in ((False, True), (True, False))[seed % 2]
        }
        criteria = found[False]["result"].plan.criteria
        volumes = {
            option: hypervolume_curve(run["result"].trials, criteria)[-1] for option, run in found.items()
        }
        rows.append(
            {
                "seconds_ratio": found[True]["seconds"] / found[False]["seconds"],
                "idle_share": [found[False]["idle_share"], found[True]["idle_share"]],
                "hypervolume": [volumes[False], volumes[True]],
            }
        )
    return {
        "trials": trials,
        "epochs": epochs,
        "seeds": seeds,
        "runs": rows,
        "seconds_ratio": median(row["seconds_ratio"] for row in rows),
        "hypervolume": [median(row["hypervolume"][n] for row in rows) for n in (0, 1)],
        "idle_share": [median(row["idle_share"][n] for row in rows) for n in (0, 1)],
    }


def rank_latencies(networks: int) -> dict[str, Any]:
    """Return the rank correlation of computed and measured latency, by space and over all."""
    import numpy as np
    from scipy.stats import spearmanr

    from nas.device import LatencyOptions, reference_latency_ms
    from nas.device.latency import measure_architecture
    from nas.device.latency_model import sample_across_costs
    from nas.space import SearchSpace

    rng, pairs = np.random.default_rng(1), {}  # other networks than those of the fit
    for name, shape in SPACES.items():
        space = SearchSpace.load(name).bind(shape, 10)
        pairs[name] = [
            (measure_architecture(one, LatencyOptions()).p50_ms, reference_latency_ms(one))
            for one in sample_across_costs(space, networks, rng)
        ]
    every = [pair for each in pairs.values() for pair in each]
    correlations = {name: float(spearmanr(*zip(*each, strict=True))[0]) for name, each in pairs.items()}
    ratios = [measured / computed for measured, computed in every]
    return {
        "networks": len(every),
        "spaces": correlations,
        "all": float(spearmanr(*zip(*every, strict=True))[0]),
        "median_ratio": statistics.median(ratios),
    }


def text_of(result: dict[str, Any]) -> str:
    """Return the result as Markdown."""
    found, ranks = result["searches"], result["latency"]
    rows = [
        ["seconds, as a multiple of the search without the option", "1", found["seconds_ratio"]],
        ["share of the workers' time without work", *(f"{share:.0%}" for share in found["idle_share"])],
        ["hypervolume", *(f"{volume:.3f}" for volume in found["hypervolume"])],
    ]
    return "\n\n".join(
        (
            "# Deterministic searches",
            f"Searches of {found['trials']} trials of up to {found['epochs']} epochs on digits, 2 workers: "
            f"medians of {found['seeds']} seeds.",
            table(["", "default", "`--deterministic`"], rows),
            f"Rank correlation (Spearman) of the computed latency with the measured one, {ranks['networks']} "
            "random networks.",
            table(
                ["space", "correlation"],
                [[name, f"{value:.3f}"] for name, value in {**ranks["spaces"], "all": ranks["all"]}.items()],
            ),
        )
    )


def main() -> None:
    """Parse the options, measure, and print the result."""
    parser = common_parser(__doc__)
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=9)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--networks", type=int, default=14, help="of each space")
    options = parser.parse_args()
    result: dict[str, Any] = {"benchmark": "deterministic", "conditions": conditions()}
    result["latency"] = rank_latencies(options.networks)
    print(result["latency"], file=sys.stderr)
    with tempfile.TemporaryDirectory() as folder:
        import os

        os.chdir(Path(folder))
        result["searches"] = compare(options.space, options.trials, options.epochs, options.seeds)
        os.chdir("/")
    emit("deterministic", result, text_of(result), options.json, not options.no_keep)


if __name__ == "__main__":
    main()
