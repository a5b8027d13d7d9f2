"""Searches on one scale: joint front, hypervolumes, what is refused and what is warned of."""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path

import numpy as np
import pytest
from browsers import chromium, opened
from random_trials import trial

import nas
from nas.cli.main import main
from nas.errors import InputError
from nas.record import SearchRecord
from nas.report import comparison_html
from nas.searching import Plan, compare_searches
from nas.trials import hypervolume_curve

# MLflow 3.17 uses a loader strategy that SQLAlchemy 2.1 deprecates
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")

BOUNDS = {"params": (1e3, 1e6)}
BASE = {"space": {"name": "s"}, "objectives": ("accuracy", "params"), "fingerprint": "f", "bounds": BOUNDS}
FRONTS = {
    "large": [(0.99, 90_000), (0.97, 50_000), (0.90, 60_000)],
    "small": [(0.985, 20_000), (0.95, 5_000), (0.80, 3_000)],
}


def record(name: str, points=(), **changes) -> None:
    plan = Plan.parse({**BASE, **changes})
    created = SearchRecord.create(name, plan.model_dump(mode="json"))
    for number, (accuracy, params) in enumerate(points):
        created.log(trial(number, accuracy, params, values={"accuracy_se": 0.01}))
    created.finish("complete")


@pytest.fixture(scope="module", autouse=True)
def _folder(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.chdir(tmp_path_factory.mktemp("work"))
        for name, points in FRONTS.items():
            record(name, points, space={"name": name}, min_quality=0.7)
        yield


def test_the_joint_front_is_that_of_all_networks():
    found = compare_searches(["large", "small"])
    assert [(name, each.number) for name, each in found.joint_front] == [
        ("large", 0), ("small", 0), ("small", 1), ("small", 2),
    ]  # fmt: skip
    large, small = found.searches
    assert [each.number for each in large.front] == [0, 1]
    assert [len(search.joint) for search in found.searches] == [1, 3]
    assert (large.best.number, small.best.number) == (0, 0)
    assert large.smallest.number == 0
    assert small.smallest.values["params"] == 20_000
    assert not found.warnings


def test_hypervolumes_have_one_scale():
    found = compare_searches(["large", "small"])
    volumes = [search.hypervolume for search in found.searches]
    assert 0 < volumes[0] < volumes[1] < found.hypervolume
    swapped = compare_searches(["small", "large"])
    assert [search.hypervolume for search in swapped.searches] == pytest.approx(volumes[::-1])
    every = [each for search in found.searches for each in search.trials]
    assert found.hypervolume == pytest.approx(hypervolume_curve(every, found.criteria)[-1])


def test_bounds_of_other_spaces_are_joined_and_the_floor_is_that_of_the_best_of_all():
    record("wide", [(0.6, 900)], bounds={"params": (1e2, 1e5)}, guess=0.9, space={"name": "wide"})
    found = compare_searches(["large", "wide"])
    assert found.criteria.bounds["params"] == (1e2, 1e6)
    assert any("other quality floors" in line for line in found.warnings)
    assert "No network of 'wide' reaches the quality floor of all searches together" in found.warnings[0]
    wide = found.searches[1]
    assert (wide.front, wide.best, wide.smallest, wide.hypervolume) == ((), None, None, 0.0)


def test_a_search_without_a_complete_trial_has_an_empty_front():
    record("empty", min_quality=0.7)
    found = compare_searches(["small", "empty"])
    assert found.searches[1].hypervolume == 0.0
    assert len(found.joint_front) == 3
    both_empty = compare_searches(["empty", "wide"])
    assert len(both_empty.joint_front) == 1


def test_only_common_objectives_count():
    record("flops", [(0.9, 4_000)], objectives=("accuracy", "flops"), min_quality=0.7)
    found = compare_searches(["small", "flops"])
    assert [objective.name for objective in found.criteria.objectives] == ["accuracy", "params"]
    assert found.warnings == (
        "Compared by accuracy, params: not all searches have the objectives flops, params.",
    )


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"fingerprint": "g", "split_seed": 1}, "with other examples (split_seed 0 and 1)"),
        ({"fingerprint": "g", "train_limit": 100}, "with other examples (train_limit None and 100)"),
        ({"folds": 3}, "with other examples (folds 1 and 3)"),
        ({"epochs": 9}, "train for other lengths, 27 and 9 epochs"),
    ],
)
def test_what_else_differs_is_told(changes, told):
    name = "-".join(changes)
    record(name, [(0.9, 4_000)], min_quality=0.7, **changes)
    (warning,) = compare_searches(["small", name]).warnings
    assert told in warning


def test_other_devices_are_told():
    for name in ("pc", "phone"):
        record(name, [(0.9, 4_000)], objectives=("accuracy", "params", "latency"), device=name)
    (warning,) = compare_searches(["pc", "phone"]).warnings
    assert "measure latency and size on other devices or settings: pc; phone" in warning


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"fingerprint": "g"}, "must have the same data, got 'digits' for 'small' and other content"),
        ({"fingerprint": "g", "data": "mnist"}, "of 'mnist' for 'refused"),
        ({"fingerprint": "g", "image_size": 8, "split_seed": 1}, r"options \(image_size, split_seed\)"),
        ({"objectives": ("loss", "params")}, "must have the same first quality, got accuracy for 'small'"),
        ({"space": {"task": "regression"}}, "must have the same task, got classification"),
    ],
)
def test_searches_with_nothing_in_common_are_refused(changes, rule):
    name = f"refused-{len(str(changes))}"
    record(name, **changes)
    with pytest.raises(InputError, match=rule):
        compare_searches(["small", name])


@pytest.mark.parametrize("names", [[], ["small"], ["small", "large", "small"]])
def test_two_searches_are_needed(names):
    with pytest.raises(InputError, match="at least 2 different searches"):
        compare_searches(names)
    with pytest.raises(InputError, match="unknown search 'smal'; did you mean 'small'"):
        compare_searches(["smal", "large"])


def test_the_command_prints_tables_json_and_a_page(capsys):
    def run(*arguments):
        with pytest.raises(SystemExit) as ended:
            main(["compare", "large", "small", *arguments])
        assert not ended.value.code
        return capsys.readouterr()

    out = run().out
    assert "1 of 4" in out
    assert "3 of 4" in out
    assert "small:1" in out
    assert "large:1" not in out
    data = json.loads(run("--json").out)
    assert data == nas.compare("large", "small").as_data()
    assert [row["search"] for row in data["joint_front"]] == ["large", "small", "small", "small"]
    assert "wrote fronts.html" in run("--html", "fronts.html").err
    assert "<title>large, small" in Path("fronts.html").read_text(encoding="utf-8")


def test_the_example_in_the_docstring_runs(capsys):
    (code,) = re.findall(r"```python\n(.*?)```", inspect.getdoc(nas.compare), flags=re.DOTALL)
    exec(code, {"nas": nas})
    assert capsys.readouterr().out.startswith("{'large': 0.")


def test_a_scale_of_more_trials_makes_curves_comparable():
    criteria = Plan.parse({"space": {}, "objectives": ("accuracy", "params")}).criteria
    rng = np.random.default_rng(0)
    every = [trial(n, float(rng.random()), float(rng.integers(1, 9)) * 10 ** (n // 10)) for n in range(20)]
    part = every[:10]
    assert hypervolume_curve(part, criteria, every)[-1] == hypervolume_curve(every, criteria, every)[9]
    assert hypervolume_curve(part, criteria)[-1] != hypervolume_curve(part, criteria, every)[-1]


@pytest.mark.trains  # it starts a browser
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_the_page_draws_the_fronts_and_hides_a_search(tmp_path, width, scheme):
    found = compare_searches(["large", "small"])
    path = tmp_path / "fronts.html"
    path.write_text(comparison_html(found.page_data()), encoding="utf-8")
    with chromium() as browser, opened(browser, path.as_uri(), width, scheme) as page:
        assert page.locator("#figure circle.point").count() == 6
        assert page.locator("#figure path.stairs").count() == 2
        assert page.locator("#searches tbody tr").count() == 2
        assert page.locator("#joint tbody tr").count() == 4
        assert "1 of 4" in page.locator("#searches").inner_text()
        page.locator("#fronts input[type=checkbox]").first.uncheck()
        assert page.locator("#figure circle.point").count() == 3
        page.locator("#fronts select").first.select_option("flops")
        assert "FLOPs" in page.locator("#figure").inner_text()
        overflow = page.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        assert overflow <= 0
