"""Standard errors of recorded trials, and ties of front members."""

from __future__ import annotations

import pytest

from nas.trials import OBJECTIVES, Trial
from nas.trials.ties import standard_error, ties

ACCURACY, LOSS = OBJECTIVES["accuracy"], OBJECTIVES["loss"]


def trial(number: int, **values: float) -> Trial:
    return Trial(number, {}, str(number), "complete", values, 3)


def test_a_recorded_standard_error_is_used_and_that_of_an_old_accuracy_computed():
    assert standard_error(trial(0, accuracy=0.9, accuracy_se=0.02), ACCURACY, 100) == 0.02
    assert standard_error(trial(0, accuracy=0.9), ACCURACY, 100) == pytest.approx(0.03)
    assert standard_error(trial(0, accuracy=0.9), ACCURACY) is None
    assert standard_error(trial(0, val_loss=0.9), LOSS, 100) is None
    assert standard_error(trial(0), ACCURACY, 100) is None


def test_members_are_tied_with_the_one_above_within_the_error_of_the_difference():
    front = [
        trial(5, accuracy=0.95, accuracy_se=0.03),
        trial(3, accuracy=0.90, accuracy_se=0.04),  # 0.05 = hypot(0.03, 0.04)
        trial(8, accuracy=0.84, accuracy_se=0.04),  # 0.06 > hypot(0.04, 0.04)
        trial(2, accuracy=0.84),
    ]
    assert ties(front, ACCURACY) == {3: 5}
    assert ties(front, ACCURACY, 100) == {3: 5, 2: 8}
    assert ties([], ACCURACY) == {}
