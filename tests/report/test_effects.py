"""Importance and contrasts against functions whose effects are known."""

from __future__ import annotations

import numpy as np
import pytest

from nas.report import choice_indices, contrasts, first_order_shares, grouped_names
from nas.space import OpenValue, sample

VALUES = (
    OpenValue("stages.count", (1, 2)),
    OpenValue("block.conv.1", ("standard", "separable")),
    OpenValue("block.conv.2", ("standard", "separable"), when=("stages.count", frozenset({2}))),
    OpenValue("head.width", (1, 2, 3, 4)),
    OpenValue("noise", ("a", "b", "c")),
)


@pytest.fixture(scope="module")
def settings():
    rng = np.random.default_rng(0)
    return [sample(VALUES, rng) for _ in range(4000)]


def test_shares_are_those_of_the_variance(settings):
    outputs = np.array([[3.0 * s["head.width"] + 2.0 * (s["block.conv.1"] == "separable") for s in settings]])
    shares = first_order_shares(grouped_names(VALUES), choice_indices(VALUES, settings), outputs)
    width, conv = 9 * 1.25, 4 * 0.25
    assert shares["head.width"] == pytest.approx(width / (width + conv), abs=0.02)
    assert shares["block.conv"] == pytest.approx(conv / (width + conv), abs=0.02)
    assert shares["noise"] == pytest.approx(0.0, abs=0.003)
    assert list(shares) == ["stages.count", "block.conv", "head.width", "noise"]


def test_being_inactive_is_not_the_effect_of_a_value(settings):
    outputs = np.array([[float(s["stages.count"]) for s in settings]])
    shares = first_order_shares(grouped_names(VALUES), choice_indices(VALUES, settings), outputs)
    assert shares["stages.count"] == pytest.approx(1.0)
    assert shares["block.conv"] == pytest.approx(0.0, abs=0.003)


def test_unrelated_values_explain_nothing_of_noise(settings):
    few = settings[:100]
    outputs = np.random.default_rng(1).standard_normal((200, 100))
    shares = first_order_shares(grouped_names(VALUES), choice_indices(VALUES, few), outputs)
    assert all(share.mean() < 0.02 for share in shares.values())


def test_a_contrast_holds_the_cost_constant(settings):
    """Separable networks cost a quarter and have 0.8 of the error of others of equal cost."""
    rng = np.random.default_rng(2)
    share = np.array(
        [
            np.mean([s[name] == "separable" for name in ("block.conv.1", "block.conv.2") if name in s])
            for s in settings
        ]
    )
    cost = np.exp(rng.uniform(0, 5, len(settings))) * 0.25**share
    levels = np.log(0.8) * share - 0.5 * np.log(cost) + 0.05 * rng.standard_normal((50, len(settings)))
    found = contrasts(VALUES, choice_indices(VALUES, settings), levels, cost)
    by_choice = {(one.value, one.choice): one for one in found}
    assert set(by_choice) == {("block.conv", "separable"), ("noise", "b"), ("noise", "c")}
    assert by_choice["block.conv", "separable"].against == "standard"
    assert by_choice["block.conv", "separable"].ratio == pytest.approx(0.8, rel=0.02)
    assert by_choice["noise", "b"].ratio == pytest.approx(1.0, abs=0.01)
