"""The weights that a training starts from: every kind of file, other classes, files that do not fit."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

import nas
from nas.backends import build_model
from nas.data import load_dataset
from nas.errors import InputError
from nas.evaluation import State, load_weights, read_state, write_state
from nas.training.starting_weights import starting_weights
from nas.training.train import TrainingOptions, train_network

DATA = ["--image-size", "8", "--train-limit", "150"]

pytestmark = [
    pytest.mark.trains,
    # MLflow 3.17 uses a loader strategy that SQLAlchemy 2.1 deprecates
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning"),
    # Keras 3.15 gives NumPy 2.4 TensorFlow's variables to copy, whose __array__ takes no copy yet
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning"),
]


def test_all_kinds_of_files_give_the_same_starting_weights(trained, digits, work, make_design):
    model = build_model(make_design().architecture)
    load_weights(model, work / "plain" / "best.npz")
    model.save_weights(work / "given.weights.h5")
    sources = [work / "plain", work / "plain" / "best.npz", work / "given.weights.h5", trained.files["keras"]]
    for number, source in enumerate(sources):
        options = TrainingOptions(work / f"from-{number}", epochs=1, weights=str(source))
        start = train_network(make_design(), digits, options).progress.start
        assert start["accuracy"] == pytest.approx(trained.values["accuracy"])
        assert start["val_loss"] == pytest.approx(trained.values["val_loss"], rel=1e-5)


def test_with_other_classes_the_last_layer_is_initialized(trained, digits, work, tmp_path, make_design):
    y = {f"y_{name}": split.y % 2 for name, split in (("train", digits.train), ("test", digits.test))}
    np.savez(tmp_path / "parity.npz", x_train=digits.train.x, x_test=digits.test.x, **y)
    parity = load_dataset(str(tmp_path / "parity.npz"))
    for number, source in enumerate((work / "plain" / "best.npz", trained.files["keras"])):
        out = work / f"parity-{number}"
        result = train_network(
            make_design(classes=2), parity, TrainingOptions(out, epochs=1, weights=str(source))
        )
        assert result.progress.has_new_head
        ours, given = read_state(out / "last.npz"), read_state(work / "plain" / "best.npz")
        assert [a.shape == b.shape for a, b in zip(ours.weights, given.weights, strict=True)].count(
            False
        ) == 2


def starts_with_head_of(given, source, classes, design):
    """Return the weights that a training starts from, and whether their last layer is that of others."""
    start = starting_weights(str(source), design.architecture, classes, seed=0)
    head = start.state.names[-1].rpartition("/")[0]
    kept = {
        np.array_equal(new, old)
        for name, new, old in zip(start.state.names, start.state.weights, given, strict=True)
        if name.startswith(f"{head}/")
    }
    assert len(kept) == 1
    return start, kept.pop()


@pytest.mark.parametrize(
    ("file", "is_known"),
    [
        ("plain", True),
        ("plain/best.npz", True),
        ("plain/model.keras", True),
        ("plain/model.weights.h5", True),
        ("unnamed.npz", False),
    ],
)
def test_the_last_layer_is_kept_only_for_the_same_classes(trained, digits, work, make_design, file, is_known):
    given = read_state(work / "plain" / "best.npz").weights
    shutil.copy(work / "plain" / "best.npz", work / "unnamed.npz")
    for classes in (digits.classes, digits.classes[::-1], tuple("abcdefghij")):
        same = classes == digits.classes
        start, kept = starts_with_head_of(given, work / file, classes, make_design())
        assert (start.has_new_head, kept) == ((not same, same) if is_known else (False, True))
        names = f"{', '.join(classes[:6])}, ... (10)"
        if is_known and not same:
            assert start.note == (
                "The last layer starts with new weights: the given ones are for the classes "
                f"0, 1, 2, 3, 4, 5, ... (10), not {names}."
            )
        elif is_known:
            assert start.note == ""
        else:
            assert "do not say for which classes they are: make sure that these are " + names in start.note


def test_the_classes_of_a_search_count(digits, work, make_design):
    space = {**make_design().architecture.to_dict(), "training": {"batch_size": 32}}
    for name in ("input_shape", "classes", "task", "rescale"):
        space.pop(name, None)
    options = {"image_size": 8, "train_limit": 150, "objectives": ("accuracy", "params"), "workers": 0}
    result = nas.search(space, name="origin", trials=1, epochs=1, front_seeds=1, **options)
    given = nas.find("origin").weights(result.trials[0])
    design = result.trials[0].design
    for classes in (digits.classes, digits.classes[::-1]):
        start, kept = starts_with_head_of(given, "origin:0", classes, design)
        assert kept == (classes == digits.classes) == (not start.has_new_head)


def test_fine_tuning_on_as_many_other_classes_says_that_the_head_is_new(
    trained, digits, tmp_path, capsys, run_command
):
    arrays = {f"x_{name}": split.x for name, split in (("train", digits.train), ("test", digits.test))}
    arrays |= {f"y_{name}": split.y + 5 for name, split in (("train", digits.train), ("test", digits.test))}
    np.savez(tmp_path / "others.npz", **arrays)
    words = ["--data", tmp_path / "others.npz", "--epochs", "1", "--from", "plain", "--fine-tune"]
    assert run_command("train", "tiny.yaml", *words, "--out", tmp_path / "tuned") == 0
    assert (
        "The last layer starts with new weights: the given ones are for the classes 0, 1, 2, 3, 4, 5, ... "
        "(10), not 5, 6, 7, 8, 9, 10, ... (10)."
    ) in capsys.readouterr().err


def test_fine_tuning_freezes_batch_normalization(trained, work, capsys, run_command):
    arguments = ["tiny.yaml", *DATA, "--epochs", "2", "--from", "plain/best.npz"]
    assert run_command("train", *arguments, "--out", "tuned", "--fine-tune") == 0
    assert "learning rate 0.001" in capsys.readouterr().err
    assert run_command("train", *arguments, "--out", "continued") == 0
    start, tuned, other = (read_state(work / name / "last.npz") for name in ("plain", "tuned", "continued"))
    start = read_state(work / "plain" / "best.npz")
    norms = [any(part in name for part in ("gamma", "beta", "moving")) for name in start.names]
    assert any(norms)
    for norm, before, kept, moved in zip(norms, start.weights, tuned.weights, other.weights, strict=True):
        assert np.array_equal(before, kept) == norm
        assert not np.array_equal(before, moved)


def test_starting_weights_are_kept_if_no_epoch_is_better(trained, digits, work, make_design):
    unstable = make_design(training={"batch_size": 32, "learning_rate": 1.0})
    options = TrainingOptions(work / "diverged", epochs=3, patience=1, weights=str(work / "plain"))
    result = train_network(unstable, digits, options)
    assert (result.progress.best, len(result.progress.curve)) == (0, 1)
    assert result.test["test_accuracy"] == pytest.approx(trained.test["test_accuracy"])


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("missing.npz", "which does not exist"),
        ("tiny.yaml", "must be a .npz, .weights.h5 or .keras file"),
        ("array.npy", "must be a .npz"),
        ("bad.npz", "must be a checkpoint"),
        ("bad.keras", "must be a file that Keras can read"),
        ("bad.weights.h5", "must be a file that Keras can read"),
        ("other.npz", "must contain the weights of the same network"),
    ],
)
def test_invalid_weights_are_one_clear_error(trained, digits, work, source, message, make_design):
    for suffix in ("npz", "keras", "weights.h5"):
        (work / f"bad.{suffix}").write_bytes(b"no such file")
    np.save(work / "array.npy", np.zeros(3))
    write_state(work / "other.npz", State(["w"], [np.zeros(3)]))
    out = work / f"refused-{source}"
    with pytest.raises(InputError, match=message):
        train_network(make_design(), digits, TrainingOptions(out, epochs=1, weights=source))
