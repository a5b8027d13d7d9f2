"""Options and plans: validation, defaults that depend on the data, and the recorded form."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from nas.data import Dataset, Split
from nas.errors import InputError, LimitError, SpaceError
from nas.searching import Plan, SearchOptions, prepare_search
from nas.searching.planning import (
    bind_space,
    check_start,
    complete_options,
    guessing,
    starting_settings,
)
from nas.searching.screening import Screen
from nas.space import SearchSpace
from nas.trials import EarlierSearch, Observation, parse_objectives


class Data:
    """The properties of a data set that a plan depends on."""

    name, shape, rescale, value_range = "photos", (8, 8, 1), True, (0.0, 255.0)

    def __init__(
        self, examples: int = 100, task: str = "classification", shares: Sequence[float] = (0.4, 0.3, 0.3)
    ) -> None:
        self.train, self.task = np.zeros(examples), task
        self.classes, self.shares = tuple("abcdef"[: len(shares)]), np.array(shares)

    is_imbalanced, outputs = Dataset.is_imbalanced, Dataset.outputs

    def count_classes(self, split: np.ndarray) -> np.ndarray:
        return np.round(len(split) * self.shares).astype(int)


@pytest.mark.parametrize(("examples", "epochs"), [(9_999, 27), (10_000, 9)])
def test_the_default_length_depends_on_the_number_of_examples(examples, epochs):
    assert complete_options(SearchOptions(), Data(examples)).epochs == epochs
    assert complete_options(SearchOptions(epochs=5), Data(examples)).epochs == 5


@pytest.mark.parametrize(
    ("task", "quality"),
    [
        ("classification", "accuracy"),
        ("segmentation", "mean_iou"),
        ("multi_label", "map"),
        ("regression", "r2"),
    ],
)
def test_the_default_objectives_depend_on_the_task(task, quality):
    assert complete_options(SearchOptions(), Data(task=task)).objectives == (quality, "params", "latency")


@pytest.mark.parametrize(
    ("objectives", "message"),
    [
        (
            ("mean_iou", "params"),
            "objective mean_iou does not fit classification data of 3 classes such as 'photos'; "
            "use accuracy, balanced_accuracy, macro_f1, loss$",
        ),
        (("accuracy", "mean_iou"), "objective mean_iou does not fit"),
        (("auc", "params"), "objective auc does not fit classification data of 3 classes"),
    ],
)
def test_objectives_of_another_task_are_refused(objectives, message):
    with pytest.raises(InputError, match=message):
        complete_options(SearchOptions(objectives=objectives), Data())


def test_qualities_that_fit_the_data_are_accepted():
    for objectives in (("macro_f1", "params"), ("loss", "accuracy"), ("balanced_accuracy",)):
        assert complete_options(SearchOptions(objectives=objectives), Data()).objectives == objectives
    two = Data(shares=(0.5, 0.5))
    assert complete_options(SearchOptions(objectives=("auc",)), two).objectives == ("auc",)
    labels, numbers = Data(task="multi_label"), Data(task="regression")
    assert complete_options(SearchOptions(objectives=("macro_f1",)), labels).objectives == ("macro_f1",)
    assert complete_options(SearchOptions(objectives=("mae",)), numbers).objectives == ("mae",)
    with pytest.raises(InputError, match="objective r2 does not fit multi_label data of 3 labels"):
        complete_options(SearchOptions(objectives=("r2",)), labels)
    masks = Data(task="segmentation")
    assert complete_options(SearchOptions(objectives=("loss",)), masks).objectives == ("loss",)
    with pytest.raises(InputError, match="objective accuracy does not fit segmentation data"):
        complete_options(SearchOptions(objectives=("accuracy",)), masks)


def test_very_different_class_sizes_make_balanced_accuracy_the_default():
    uneven, even = Data(shares=(0.7, 0.2, 0.1)), Data(shares=(0.6, 0.2, 0.2))
    assert complete_options(SearchOptions(), uneven).objectives[0] == "balanced_accuracy"
    assert complete_options(SearchOptions(objectives=("accuracy",)), uneven).objectives == ("accuracy",)
    assert complete_options(SearchOptions(), even).objectives[0] == "accuracy"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"trials": 0}, "trials must be at least 1, got 0"),
        ({"limits": {"params": 0}}, "a limit must be over 0, got 0 for params"),
        ({"engine": "optuna", "sampler": "nsga"}, "did you mean 'nsga2'"),
        (
            {"engine": "cheap-aware", "sampler": "tpe"},
            "engine cheap-aware has no sampler 'tpe'; omit --sampler",
        ),
        ({"objectives": ("params",)}, "one objective must be a quality"),
        ({"objectives": ("macro_f",)}, "did you mean 'macro_f1'"),
        (
            {"objectives": ("loss", "params"), "min_quality": 0.9},
            "--min-accuracy is a share and does not fit the first quality, loss, got 0.9; omit it",
        ),
        (
            {"objectives": ("mae", "params"), "min_quality": 0.9},
            "--min-accuracy is a share and does not fit the first quality, mae, got 0.9; omit it",
        ),
        ({"objectves": ()}, "did you mean 'objectives'"),
        (
            {"engine": "optuna", "start_from_search": ("photos",)},
            "--start-from-search needs the engine cheap-aware, got optuna; omit one of the two",
        ),
    ],
)
def test_impossible_options_are_one_clear_error(values, message):
    with pytest.raises(InputError, match=message):
        SearchOptions.parse(values)


def test_a_plan_is_restored_from_json():
    plan = Plan.parse(
        {
            "space": {"name": "small", "task": "classification"},
            "objectives": ("accuracy", "params"),
            "limits": {"params": 1000},
            "start": ({"stages.width": 8},),
            "bounds": {"params": (10, 1000)},
            "start_from_search": ("photos",),
            "earlier": (
                EarlierSearch("photos", 3, True, (Observation({"stages.width": 8}, 9, {"accuracy": 0.5}),)),
            ),
        }
    )
    assert Plan.parse(json.loads(json.dumps(plan.model_dump(mode="json")))) == plan


def test_every_option_has_a_description():
    for model in (SearchOptions, Plan):
        assert all(field.description for field in model.model_fields.values())


@pytest.mark.parametrize(
    ("budget", "expected"),
    [({}, 50), ({"trials": 5}, 5), ({"seconds": 60.0}, None), ({"trials": 5, "seconds": 60.0}, 5)],
)
def test_a_time_limit_alone_removes_the_default_number_of_trials(budget, expected):
    assert SearchOptions(**budget).max_trials == expected


def test_a_starting_network_must_be_a_point_of_the_space():
    space = bind_space(SearchSpace.load("xception_like"), Data())
    (setting,) = starting_settings(space, ["mini_xception"])
    assert space.design(setting).architecture.classes == 3
    with pytest.raises(
        SpaceError, match="--start-from takes points of the space xception_like, got 'mnist_cnn'"
    ):
        starting_settings(space, ["mnist_cnn"])


class UnderestimatingMeter:
    """Predicts half of the latency that it measures."""

    def predict(self, architecture):
        return {"latency_ms": 1.0, "size_bytes": 1000.0}, 0.1

    def measure(self, architecture):
        return {"latency_ms": 2.0, "size_bytes": 1000.0}


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"params": 15_000}, "got 'mini_xception': params is 7.213e.05, over the limit 15,000; raise"),
        ({"latency_ms": 0.5}, "got 'mini_xception': predicted: latency_ms is 0.9, over the limit 0.5;"),
        ({"latency_ms": 1.5}, "got 'mini_xception': latency_ms is 2, over the limit 1.5;"),
        ({"latency_ms": 3, "params": 800_000}, None),
    ],
)
def test_a_starting_network_over_a_limit_is_refused(limits, message):
    space = bind_space(SearchSpace.load("xception_like"), Data())
    (setting,) = starting_settings(space, ["mini_xception"])
    options = SearchOptions(objectives=("accuracy", "params"), limits=limits)
    objectives, meter = options.parsed_objectives(), UnderestimatingMeter()
    screen = Screen(space, objectives, options.parsed_limits(), meter)
    if message is None:
        check_start(screen, "mini_xception", setting)
    else:
        with pytest.raises(LimitError, match=message):
            check_start(screen, "mini_xception", setting)


def test_a_search_does_not_drop_a_starting_network_over_a_limit(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = SearchOptions(objectives=("accuracy", "params"), limits={"params": 15_000})
    with pytest.raises(LimitError, match="a network of --start-from must be within the limits, got 'mini_x"):
        prepare_search("xception_like", options, start_from=["mini_xception"])
    assert not list(tmp_path.glob("mlruns/spool/*/"))


def test_the_guess_and_the_scale_of_numbers_are_those_of_the_constant_answer():
    y = np.array([[1.0], [2.0], [3.0], [10.0]], np.float32)
    split = Split(np.zeros((4, 4, 4, 1), np.uint8), y)
    dataset = Dataset("n", "n", "regression", (4, 4, 1), ("age",), split, split, split)
    found = guessing(parse_objectives(["mae", "rmse", "params"]), dataset)
    assert found == {"guess": 1.0, "scales": {"mae": 2.5, "rmse": pytest.approx(y.std())}}
    assert guessing(parse_objectives(["r2"]), dataset) == {"guess": 1.0, "scales": {}}
    plan = Plan.parse({"space": {}, "objectives": ("mae", "params"), **found})
    assert plan.criteria.qualities[0].error(5.0) == 2.0
    labels = replace(dataset, task="multi_label", validation=Split(split.x, np.array([[1, 0], [1, 1]] * 2)))
    assert guessing(parse_objectives(["map"]), labels)["guess"] == pytest.approx(1 - 0.75)
