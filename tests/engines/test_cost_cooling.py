from __future__ import annotations

from dataclasses import replace

import moocore
import numpy as np
import pytest
from toy_engine_space import ACCURACY, VALUES, describe, make_engine, run_engine, timed_trial

from nas.engines._cost_cooling import MIN_TRIALS, CostCooling
from nas.engines.cheap_aware import CheapAware
from nas.space import Setting, sample
from nas.trials import Candidate, Criteria, Objective


def test_times_are_predicted_from_flops() -> None:
    rng = np.random.default_rng(0)
    cooling = CostCooling(lambda: 100.0)
    settings = [sample(VALUES, rng) for _ in range(40)]
    flops = np.array([describe(setting).costs["flops"] for setting in settings])
    for number, setting in enumerate(settings[:MIN_TRIALS]):
        assert (cooling.predict_seconds(flops) == 1.0).all()
        cooling.observe(str(number), flops[number], timed_trial(setting, number, epochs=1 + 4 * number))
    max_epochs = 1 + 4 * (MIN_TRIALS - 1)
    expected = 1.0 + max_epochs * (0.1 + 1e-5 * flops)
    assert cooling.predict_seconds(flops) == pytest.approx(expected, rel=1e-6)
    assert (cooling.predict_seconds(np.append(flops, 0.0)) == 1.0).all()  # one has unknown FLOPs


def test_the_exponent_of_seconds_falls_and_candidates_must_fit_into_the_remaining_time() -> None:
    left = 100.0
    cooling = CostCooling(lambda: left)
    rng = np.random.default_rng(1)
    for number, setting in enumerate(sample(VALUES, rng) for _ in range(MIN_TRIALS)):
        cooling.observe(str(number), describe(setting).costs["flops"], timed_trial(setting, number))
    flops = np.array([2e4, 2e5, 5e5])
    seconds = cooling.predict_seconds(flops)  # 3.7, 19.9 and 46.9
    assert cooling.weights(flops) == pytest.approx(1 / seconds)
    left = 50.0
    assert cooling.weights(flops) == pytest.approx(seconds**-0.5)
    left = 20.0
    assert cooling.weights(flops) == pytest.approx([seconds[0] ** -0.2, seconds[1] ** -0.2, 0.0])
    left = 1.0
    assert (cooling.weights(flops) > 0).all()  # nothing fits: all stay possible


def test_without_known_times_the_time_limit_changes_no_proposal() -> None:
    def without_flops(setting: Setting) -> Candidate:
        return replace(describe(setting), costs={"params": describe(setting).costs["params"]})

    objectives = (ACCURACY, Objective("params"))
    limited, unlimited = (
        CheapAware(VALUES, Criteria(objectives), without_flops, seconds_left=left)
        for left in (lambda: 60.0, None)
    )
    assert run_engine(limited, 20) == run_engine(unlimited, 20)


@pytest.mark.trains
@pytest.mark.parametrize("costs", [("params",), ("params", "latency_ms")])
def test_with_a_time_limit_the_hypervolume_is_larger(costs: tuple[str, ...]) -> None:
    def hypervolume(budget: float, cooled: bool, seed: int) -> float:
        spent, points = 0.0, []
        engine = make_engine(*costs, seed=seed, seconds_left=(lambda: budget - spent) if cooled else None)
        while True:
            trial = timed_trial(engine.ask(), len(points))
            spent += sum(trial.seconds.values())
            if spent > budget:
                break
            engine.tell(trial)
            points.append([1 - trial.values["accuracy"], *(np.log(trial.values[name]) for name in costs)])
        reference = [1.0, *(np.log({"params": 1e5, "latency_ms": 3.0}[name]) for name in costs)]
        return float(moocore.hypervolume(np.array(points), ref=reference))

    cooled, plain = (
        np.median([hypervolume(150.0, cool, seed) for seed in range(3)]) for cool in (True, False)
    )
    assert cooled > plain
