from __future__ import annotations

import os
from math import log1p
from pathlib import Path

import pandas
import pytest

from nas.errors import DataError
from nas.space import sample
from nas.testing.tabular_benchmark import TabularBenchmark

SHARED = Path(os.environ.get("NAS_SHARED", Path(__file__).parents[3] / "shared")) / "tables"

SMALL = """x_a,x_b,x_width,val_accuracy,val_accuracy_low,test_accuracy,params,flops
conv,pool,8,0.8,0.5,0.81,100,2000
conv,conv,16,0.9,0.6,0.89,400,8000
pool,pool,16,0.4,0.3,0.41,50,900
"""


@pytest.fixture
def small(tmp_path: Path) -> TabularBenchmark:
    path = tmp_path / "small.csv"
    path.write_text(SMALL)
    return TabularBenchmark(path, ["params"])


def test_columns_of_numbers_are_parsed_as_numbers(small: TabularBenchmark) -> None:
    assert [(value.name, value.choices) for value in small.open_values] == [
        ("a", ("conv", "pool")),
        ("b", ("conv", "pool")),
        ("width", (8, 16)),
    ]
    assert [objective.name for objective in small.objectives] == ["accuracy", "params"]
    assert small.cost_names == ("params", "flops")


def test_row_and_setting_are_inverse(small: TabularBenchmark) -> None:
    for row in range(3):
        assert small.row(small.setting(row)) == row


def test_candidates_and_trials_of_both_fidelities(small: TabularBenchmark) -> None:
    candidate = small.describe(small.setting(1))
    assert candidate.costs == {"params": 400.0}
    assert candidate.features == {"count_conv": 2.0, "count_pool": 0.0}
    full, low = (small.trial(7, small.setting(1), low=low) for low in (False, True))
    assert (full.state, full.values, full.epochs) == ("complete", {"accuracy": 0.9, "params": 400.0}, 200)
    assert (low.state, low.values["accuracy"], low.epochs) == ("stopped", 0.6, 12)
    assert [point["epoch"] for point in full.curve] == [12, 200]
    assert full.id == low.id == candidate.id


CELL = """x_edge_0-1,x_edge_0-2,x_edge_1-2,val_accuracy,test_accuracy,params
conv,none,pool,0.8,0.8,1
conv,conv,none,0.8,0.8,2
skip_connect,pool,skip_connect,0.8,0.8,1
none,none,conv,0.1,0.1,1
"""


def test_features_of_a_cell_count_operations_on_paths_from_input_to_output(tmp_path: Path) -> None:
    path = tmp_path / "cell.csv"
    path.write_text(CELL)
    table = TabularBenchmark(path, ["params"])
    names = ("cell_conv", "cell_pool", "longest_path", "shortest_path", "paths")
    found = [table.describe(table.setting(row)).features for row in range(4)]
    assert [[each[name] for name in names[:4]] for each in found] == [
        [1, 1, 2, 2],
        [1, 0, 1, 1],  # the other convolution is on no path to the output
        [0, 1, 1, 0],
        [0, 0, 0, 0],
    ]
    assert [each["paths"] for each in found] == pytest.approx([log1p(n) for n in (1, 1, 2, 0)])
    assert {*found[0]} == {*names}
    path.write_text(
        CELL.replace("x_edge_0-1", "x_edge_1-0")
    )  # edges must go from a lower node to a higher one
    backward = TabularBenchmark(path, ["params"])
    features = backward.describe(backward.setting(0)).features
    assert {*features} == {*names}  # of the two remaining edges
    lines = [
        f"{added},{line}" for added, line in zip(["x_a,x_b", *["conv,conv"] * 4], CELL.split(), strict=True)
    ]
    path.write_text("\n".join(lines))
    both = TabularBenchmark(path, ["params"])
    assert both.describe(both.setting(0)).features == {"count_conv": 2.0, **found[0]}


def test_a_setting_without_a_row_fails(small: TabularBenchmark) -> None:
    absent = {"a": "pool", "b": "conv", "width": 8}
    assert small.row(absent) is None
    assert small.describe(absent).costs == {}
    assert small.trial(0, absent).state == "failed"


@pytest.mark.parametrize(
    ("text", "costs", "message"),
    [
        ("", (), "a header"),
        ("val_accuracy,test_accuracy\n0.5,0.5\n", (), "columns named x_"),
        ("x_a,val_accuracy\n1,0.5\n", (), "test_accuracy"),
        (SMALL, ("parms",), "did you mean 'params'"),
        (SMALL.replace("400", "many"), ("params",), "got 'many'"),
        (SMALL.replace(",400,8000", ""), ("params",), "line 3"),
    ],
)
def test_a_file_in_another_format_is_refused(
    tmp_path: Path, text: str, costs: tuple[str, ...], message: str
) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        TabularBenchmark(path, costs)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="check the path"):
        TabularBenchmark(tmp_path / "none.csv")


@pytest.mark.parametrize("name", ["nb201_cifar10", "nbmacro_cifar10"])
def test_a_shared_table_agrees_with_pandas(name: str) -> None:
    path = SHARED / f"{name}.csv"
    if not path.exists():
        pytest.skip("the shared tables are not available")
    import numpy as np

    table, frame = TabularBenchmark(path), pandas.read_csv(path)
    assert len(table.rows) == len(frame)
    rng = np.random.default_rng(0)
    for _ in range(20):
        setting = sample(table.open_values, rng)
        same = frame
        for column, choice in setting.items():
            same = same[same[f"x_{column}"] == choice]
        trial = table.trial(0, setting)
        assert trial.values["accuracy"] == same["val_accuracy"].item()
        assert trial.values["params"] == same["params"].item()
