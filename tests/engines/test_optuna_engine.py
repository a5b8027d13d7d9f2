from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from toy_optimum import OBJECTIVES, TOY, draw_settings, make_trial, toy_values

from nas.engines.optuna_engine import OptunaEngine
from nas.space import Setting
from nas.trials import Limit

TESTS = Path(__file__).parents[1]


@pytest.mark.parametrize("sampler", ["tpe", "nsga2"])
def test_proposals_respect_the_limits(sampler: str) -> None:
    limit = Limit("params", 4_000.0)

    def over(setting: Setting) -> bool:
        return limit.excess(toy_values(setting)) > 0

    shares = []
    for seed in (1, 2, 3):
        engine = OptunaEngine(TOY, OBJECTIVES, (limit,), sampler, seed)
        proposed = []
        for number in range(100):
            proposed.append(engine.ask())
            values = toy_values(proposed[-1])
            # Accuracy increases with parameters here: without the limit, large networks would be best.
            values_within = {"accuracy": min(1.0, values["params"] / 1e5), "params": values["params"]}
            if over(proposed[-1]):
                engine.tell(make_trial(number, proposed[-1], "over_limit", 0, params=values["params"]))
            else:
                engine.tell(make_trial(number, proposed[-1], **values_within))
        shares.append(np.mean([over(setting) for setting in proposed[50:]]))
    random_share = np.mean([over(setting) for setting in draw_settings(2000, seed=0)])
    assert np.mean(shares) < 0.6 * random_share, (shares, random_share)


@pytest.mark.parametrize("sampler", ["tpe", "nsga2"])
def test_proposals_do_not_depend_on_hash_order(sampler: str) -> None:
    code = (
        "from toy_optimum import *\nfrom nas.engines.optuna_engine import OptunaEngine\n"
        f"print(run_engine(OptunaEngine(TOY, OBJECTIVES, (), {sampler!r}, 4), 45)[-3:])"
    )
    printed = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            cwd=TESTS,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(printed) == 1
