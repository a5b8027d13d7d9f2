"""The command line as a whole: bad input in one sentence, closed pipes, help without large libraries."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nas.cli.main import main
from nas.errors import RunError

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder with files that are invalid in many ways."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    rng = np.random.default_rng(0)
    x = rng.integers(0, 255, (20, 8, 8, 1), dtype=np.uint8)
    y = np.arange(20) % 2
    good = {"x_train": x, "y_train": y, "x_test": x, "y_test": y}
    np.savez("good.npz", **good)
    np.savez("short.npz", **{**good, "y_train": y[:15]})
    np.savez("one_class.npz", **{**good, "y_train": 0 * y, "y_test": 0 * y})
    np.savez("three.npz", **{**good, "y_train": np.arange(20) % 3, "y_test": np.arange(20) % 3})
    np.savez("lonely.npz", **{**good, "y_train": np.r_[2, y[1:]]})
    for number in range(6):
        images = Path("mixed", "cat" if number % 2 else "dog")
        images.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((8, 8 + number), np.uint8)).save(images / f"{number}.png")
    Path("typo.yaml").write_text("stages: [{widht: {choice: [4, 8]}}]\n")
    Path("even.yaml").write_text("stages: [{width: 8, kernel_size: {choice: [3, 4]}}]\n")
    Path("broken.yaml").write_text("stages: [{width: 8\n")
    Path("small.yaml").write_text("stages: [{width: {choice: [4, 8]}}]\n")
    return tmp_path


def run(arguments: list[str], capsys) -> tuple[int, str, str]:
    """Run the command line in this process; return exit code, output, errors."""
    capsys.readouterr()
    code = 0
    try:
        main(arguments)
    except SystemExit as ended:
        code = int(ended.code or 0)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


SMALL = ["search", "--space", "small.yaml", "--data", "good.npz"]

BAD = {
    "unknown space": (["search", "--space", "xception_lik"], "did you mean 'xception_like'"),
    "missing file": (["search", "--space", "none.yaml"], "'none.yaml'"),
    "unknown key": (["search", "--space", "typo.yaml", "--data", "good.npz"], "did you mean 'width'"),
    "a bad choice": (["search", "--space", "even.yaml", "--data", "good.npz"], "must be odd, got 4"),
    "broken yaml": (["search", "--space", "broken.yaml"], "line"),
    "unknown data": ([*SMALL[:3], "--data", "digit"], "digits"),
    "labels that don't match": ([*SMALL[:3], "--data", "short.npz"], "15"),
    "one class": ([*SMALL[:3], "--data", "one_class.npz"], "class"),
    "a class with one example": ([*SMALL[:3], "--data", "lonely.npz"], "class"),
    "images of different sizes": ([*SMALL[:3], "--data", "mixed"], "--image-size"),
    "a limit that no network meets": (
        [*SMALL, "--objectives", "accuracy,params", "--max-params", "10", "--workers", "0"],
        "the least value in the space",
    ),
    "a limit of zero": ([*SMALL, "--max-flops", "0"], "over 0"),
    "unknown objective": ([*SMALL, "--objectives", "acuracy,params"], "did you mean 'accuracy'"),
    "no quality": ([*SMALL, "--objectives", "params"], "add accuracy"),
    "quality of another task": ([*SMALL, "--objectives", "mean_iou,params"], "use accuracy"),
    "a quality floor over 1": (
        [*SMALL, "--min-accuracy", "1.2"],
        "--min-accuracy must be a share of at least 0 and less than 1, got 1.2",
    ),
    "a share of the loss": (
        [*SMALL, "--objectives", "loss,params", "--min-accuracy", "0.9"],
        "--min-accuracy is a share and does not fit the first quality, loss",
    ),
    "auc of three classes": (
        [*SMALL[:3], "--data", "three.npz", "--objectives", "auc,params"],
        "objective auc does not fit classification data of 3 classes",
    ),
    "no trials": ([*SMALL, "--trials", "0"], "trials"),
    "an invalid duration": ([*SMALL, "--time", "soon"], "write 90s, 30m or 2h"),
    "negative workers": ([*SMALL, "--workers", "-1"], "--workers"),
    "a seed of 65 bits": ([*SMALL, "--seed", str(2**65)], "seed must be at most 4294967295"),
    "unknown engine": ([*SMALL, "--engine", "optna"], "did you mean 'optuna'"),
    "unknown sampler": ([*SMALL, "--engine", "optuna", "--sampler", "tpa"], "did you mean 'tpe'"),
    "a network outside the space": ([*SMALL, "--start-from", "vgg_small"], "takes points of the space"),
    "an invalid name": ([*SMALL, "--name", "a/b", "--objectives", "accuracy,params"], "name"),
    "no search yet": (["front"], "search"),
    "unknown search": (["front", "nosuch"], "start one with: nas search"),
    "nothing to resume": (["search", "--resume"], "search"),
    "not a number": (["show", "a", "b", "c"], "nas show NAME:12"),
    "unknown space to show": (["space", "show", "vgg"], "vgg_like"),
    "an unknown option": (["search", "--spaec", "x"], "--space"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_sentence_and_exit_code_2(case, folder, capsys):
    arguments, message = BAD[case]
    code, out, err = run(arguments, capsys)
    assert code == 2
    assert message in err
    assert "Traceback" not in err
    assert out == ""
    if case != "an unknown option":
        lines = [line for line in err.splitlines() if not line.startswith("measuring ")]
        assert len(lines) == 1
        assert lines[0].startswith("nas: ")


def test_a_file_named_mlruns_is_one_clear_error(folder, capsys):
    Path("mlruns").write_text("a file instead of the folder")
    code, _, err = run([*SMALL, "--objectives", "accuracy,params"], capsys)
    assert code in (1, 2)
    assert "mlruns" in err
    assert len(err.strip().splitlines()) == 1


def test_help_loads_no_large_library():
    script = (
        "import sys\n"
        "from nas.cli import main\n"
        "try:\n    main(['search', '--help'])\nexcept SystemExit:\n    pass\n"
        "large = {'tensorflow', 'keras', 'mlflow', 'optuna', 'pandas', 'scipy', 'plotly', 'numpy'}\n"
        "print(sorted(large & set(sys.modules)), file=sys.stderr)\n"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ended.stderr.strip() == "[]"
    for word in ("--space", "--resume", "nas search --space xception_like", "--max-params"):
        assert word in ended.stdout


def test_import_nas_loads_no_large_library():
    script = "import nas, sys; print(sorted({'numpy', 'keras', 'mlflow'} & set(sys.modules)))"
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "[]"


def test_space_list_names_all_that_ship(capsys):
    code, out, _ = run(["space", "list", "--json"], capsys)
    assert code == 0
    listed = {entry["name"] for entry in json.loads(out)}
    assert listed == {path.stem for path in (REPOSITORY / "search_spaces").rglob("*.yaml")}


NAS = [sys.executable, "-c", "from nas.cli import main; main()"]


def test_a_closed_pipe_ends_the_command_without_a_message():
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as pipe:
        ended = subprocess.run(
            [*NAS, "space", "list"], stdout=pipe, stderr=subprocess.PIPE, text=True, check=False
        )
    assert ended.returncode == 1
    assert ended.stderr == ""


@pytest.mark.parametrize(
    ("line", "expected", "absent"),
    [
        ("nas search --space xc", "xception_like", "vgg_like"),
        ("nas search --engine o", "optuna", "keras-tuner"),
        ("nas train mini", "mini_xception", "mnist_cnn"),
        ("nas export --format keras,o", "keras,onnx", "keras,python"),
    ],
)
def test_the_shell_completes_names(line, expected, absent):
    words = line.split()
    environment = {"COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1), "_NAS_COMPLETE": "complete_bash"}
    ended = subprocess.run(
        NAS, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    assert expected in ended.stdout.split()
    assert absent not in ended.stdout.split()
    assert ended.stderr == ""


def test_completion_can_be_installed(capsys, monkeypatch):
    monkeypatch.setenv("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "1")  # the parent may be no shell
    code, out, _ = run(["--show-completion", "bash"], capsys)
    assert code == 0
    assert "_NAS_COMPLETE=complete_bash" in out


@pytest.mark.parametrize(
    ("raised", "sentence"),
    [
        (MemoryError(), "nas: the input must fit into the memory"),
        (RecursionError(), "nas: the input is nested too deeply"),
        (RunError("x" * 1980 + " http://me:topsecret99999999@host/p"), "nas: " + "x" * 1980),
    ],
)
def test_an_error_of_the_boundary_is_one_sentence_without_credentials(raised, sentence, capsys, monkeypatch):
    def fail(arguments):
        raise raised

    monkeypatch.setitem(main.__globals__, "_run", fail)
    with pytest.raises(SystemExit) as ended:
        main(["front"])
    printed = capsys.readouterr().err
    assert ended.value.code == 1
    assert printed.startswith(sentence)
    assert "topsecret" not in printed
    assert len(printed) < 2010
