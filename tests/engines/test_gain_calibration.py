from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from toy_engine_space import describe, make_engine, make_trial, run_engine

from nas.engines._expected_improvement import MIN_IMPROVEMENT, ErrorPosterior, decompose
from nas.engines._gain_calibration import PRIOR_WEIGHT, GainCalibration


def test_factors_follow_the_achieved_gains_at_similar_costs() -> None:
    boxes = decompose(np.array([[0.5, 0.0]]), np.array([1.0, 1.0]))  # one point: error 0.5, the least cost

    def gain(error: float, cost: float) -> float:
        return (0.5 * (1 - MIN_IMPROVEMENT) - error) * (1.0 - cost)

    costs = np.array([[0.0], [0.5], [0.9]])
    calibration = GainCalibration()
    assert calibration.factors(costs).tolist() == [1.0, 1.0, 1.0]
    for number in range(6):
        calibration.add_proposal(f"missed{number}", costs[0], boxes, 0.1, 0.2)  # half of the largest gain
        calibration.add_proposal(f"met{number}", costs[2], boxes, gain(0.4, 0.9), gain(0.4, 0.9))
    assert calibration.ended({"met5"}) == [f"{how}{n}" for n in range(6) for how in ("missed", "met")][:-1]
    for number in range(6):
        calibration.observe(f"missed{number}", None)
        calibration.observe(f"met{number}", [ErrorPosterior(np.log([0.4]), np.array([1e-9]))])
    expected = [PRIOR_WEIGHT / (PRIOR_WEIGHT + 6 * 0.5), 1.0, 1.0]
    assert calibration.factors(costs) == pytest.approx(expected, rel=1e-3)
    calibration.add_proposal("exceeded", costs[1], boxes, gain(0.4, 0.5), gain(0.4, 0.5))
    calibration.observe("exceeded", [ErrorPosterior(np.log([0.1]), np.array([1e-9]))])
    share = gain(0.1, 0.5) / gain(0.4, 0.5)
    assert calibration.factors(costs)[1] == pytest.approx(
        (PRIOR_WEIGHT + share) / (PRIOR_WEIGHT + 1), rel=1e-3
    )
    assert calibration.ended(()) == []


def test_the_engine_observes_each_ended_proposal_once(monkeypatch: pytest.MonkeyPatch) -> None:
    observed: list[tuple[str, bool]] = []
    observe = GainCalibration.observe

    def noted(self: GainCalibration, name: str, posteriors: object) -> None:
        observed.append((name, posteriors is None))
        observe(self, name, posteriors)  # type: ignore[arg-type]

    monkeypatch.setattr(GainCalibration, "observe", noted)
    engine = make_engine("params", "flops")
    names = []
    for number in range(30):
        setting = engine.ask()
        names.append(describe(setting).id)
        trial = make_trial(setting, number)
        engine.tell(replace(trial, state="failed", values={}) if number % 10 == 9 else trial)
    assert [name for name, _ in observed] == names[-len(observed) - 1 : -1]  # all but the last
    assert len(observed) > 15
    without_gain = {names.index(name) for name, failed in observed if failed}
    assert {9, 19} <= without_gain
    assert len(without_gain) < len(observed) // 2


def test_stratified_proposals_do_not_depend_on_the_factors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(GainCalibration, "factors", lambda _, costs: np.where(costs[:, 0] < 8.0, 1.0, 0.0))
    proposed = run_engine(make_engine("params", "flops"), 60)
    expensive = [np.log(describe(setting).costs["params"]) >= 8.0 for setting in proposed[20:]]
    assert 0 < sum(expensive) <= len(expensive) // 2  # every other proposal is from a stratum
