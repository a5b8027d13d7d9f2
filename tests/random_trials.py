"""Made-up trials for tests of fronts and figures."""

from __future__ import annotations

import numpy as np

from nas.trials import Trial, parse_objectives

TWO = parse_objectives(["accuracy", "params"])
THREE = parse_objectives(["accuracy", "params", "latency"])
ONE = parse_objectives(["accuracy"])


def trial(number: int, accuracy: float, params: float, **more: object) -> Trial:
    values = {"params": params, "flops": 200 * params, "accuracy": accuracy, "latency_ms": params / 1000}
    values.update(more.pop("values", {}))
    defaults = {"state": "complete", "epochs": 3, "run_id": f"{number:032x}", **more}
    return Trial(number, {"conv": "separable", "note": "<b>"}, f"{number:012x}", values=values, **defaults)


def random_trials(count: int, seed: int = 0) -> list[Trial]:
    rng = np.random.default_rng(seed)
    states = ["complete", "complete", "complete", "stopped", "failed", "over_limit"]
    return [
        trial(
            n,
            float(rng.random()),
            int(10 ** rng.uniform(3, 6)),
            values={"latency_ms": float(rng.random())},
            state=states[int(rng.integers(6))],
        )
        for n in range(count)
    ]
