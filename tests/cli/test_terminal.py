"""Values and a running search in a terminal."""

from __future__ import annotations

import os
import sys

import pytest

from nas.architecture import Design
from nas.cli.terminal import (
    SearchView,
    class_table,
    duration,
    number,
    output,
    print_files,
    table,
    with_error,
)
from nas.searching import Status
from nas.searching.status import Budget
from nas.trials import Criteria, Trial, parse_objectives

CRITERIA = Criteria(parse_objectives(["accuracy", "params"]))


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("accuracy", 0.972, "97.2%"),
        ("balanced_accuracy", 0.5, "50.0%"),
        ("val_macro_f1", 0.25, "25.0%"),
        ("auc_se", 0.012, "1.2%"),
        ("val_loss", 0.25, "0.25"),
        ("params", 12345, "12,345"),
        ("flops", 1_230_000, "1.23 M"),
        ("latency_ms", 0.12345, "0.123 ms"),
        ("size_bytes", 45_600, "45.6 kB"),
        ("params", None, "-"),
    ],
)
def test_values_have_the_unit_of_their_name(name, value, text):
    assert number(name, value) == text


def test_qualities_have_their_standard_error():
    assert with_error("accuracy", 0.99, 0.006) == "99.0% ± 0.6"
    assert with_error("val_loss", 0.25, 0.0125) == "0.25 ± 0.0125"
    assert with_error("accuracy", 0.99, None) == "99.0%"
    aligned = table("", ["accuracy"], [["99.0% ± 0.6"], ["-"]]).columns[0]
    assert aligned.justify == "right"


def test_names_of_classes_are_not_markup(tmp_path):
    path = tmp_path / "classes.csv"
    path.write_text("class,examples,precision,recall,f1\n[/b],3,1.0,0.5,0.25\n")
    with output.capture() as captured:
        output.print(class_table("", path))
    assert captured.get().split()[-5:] == ["[/b]", "3", "100.0%", "50.0%", "25.0%"]


@pytest.mark.parametrize(("seconds", "text"), [(42, "42 s"), (185, "3 min 05 s"), (7800, "2 h 10 min")])
def test_durations(seconds, text):
    assert duration(seconds) == text


def trial(number: int) -> Trial:
    return Trial(number, {}, str(number), "complete", {"accuracy": 0.5, "params": 10}, 3)


def test_a_problem_of_mlflow_is_shown_once_and_its_end_too(capsys):
    status, view = Status(Budget(5)), SearchView(CRITERIA)
    status.trials[0] = trial(0)
    view(status)
    status.record_problem, status.undelivered = "MLflow's record at http://x cannot be written", 1
    status.trials[1] = trial(1)
    view(status)
    view(status)
    status.record_problem, status.undelivered = "", 0
    view(status)
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "trial 0 complete at 3 epochs: accuracy 50.0%, params 10",
        "trial 1 complete at 3 epochs: accuracy 50.0%, params 10",
        "MLflow's record at http://x cannot be written; 1 result waits in mlruns/spool. What waits "
        "is delivered as soon as MLflow takes it.",
        "MLflow takes trials again.",
    ]


def test_text_of_others_is_not_markup(capsys):
    status = Status(Budget(5))
    failed = Trial(0, {}, "0", "failed", reason="[/b] is not a tag")
    status.trials[0] = failed
    SearchView(CRITERIA)(status)
    assert capsys.readouterr().err == "trial 0 failed: [/b] is not a tag\n"


@pytest.mark.parametrize("name", ["stdout", "stderr"])
def test_a_search_that_nobody_reads_ends_before_its_next_trial(name, monkeypatch):
    reader, writer = os.pipe()
    with os.fdopen(writer, "w") as pipe:
        monkeypatch.setattr(sys, name, pipe)
        view, status = SearchView(CRITERIA), Status(Budget(5))
        view(status)
        os.close(reader)
        with pytest.raises(BrokenPipeError):
            view(status)  # there is nothing to print


def test_without_a_problem_there_is_no_notice():
    assert Status(Budget()).delivery_notice == ""


def test_each_notice_is_printed_once(capsys):
    view, status = SearchView(CRITERIA), Status(Budget())
    status.notices.append("The search is paused: [/b].")
    view(status)
    view(status)
    status.notices.append("It continues.")
    view(status)
    assert capsys.readouterr().err == "The search is paused: [/b].\nIt continues.\n"


@pytest.mark.parametrize(
    ("task", "training", "missing"),
    [
        ("classification", {"flip": True, "cutout": 0.2}, ""),
        ("classification", {"flip": True, "mixup": 0.2}, "mixup"),
        ("segmentation", {"flip": True, "crop": 1, "cutout": 0.2}, "flip, crop"),
    ],
)
def test_files_are_listed_with_the_augmentation_that_the_keras_file_lacks(task, training, missing, tmp_path):
    data = {"input_shape": [8, 8, 3], "task": task, "stages": [{"width": 4}], "training": training}
    with output.capture() as captured:
        print_files({"keras": tmp_path / "model.keras"}, Design.from_dict(data))
    shown = " ".join(captured.get().split())
    assert "model.keras" in shown
    assert ("trains without" in shown) == bool(missing)
    assert f"The Keras file trains without {missing}, which no layer can do" in shown or not missing
