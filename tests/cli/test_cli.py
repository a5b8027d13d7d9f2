"""The command line: bad input in one sentence, and `--help` without heavy imports."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nas.cli.main import main

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A working folder with files that are wrong in many ways."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    rng = np.random.default_rng(0)
    x = rng.integers(0, 255, (20, 8, 8, 1), dtype=np.uint8)
    y = np.arange(20) % 2
    good = {"x_train": x, "y_train": y, "x_test": x, "y_test": y}
    np.savez("good.npz", **good)
    np.savez("short.npz", **{**good, "y_train": y[:15]})
    np.savez("one_class.npz", **{**good, "y_train": 0 * y, "y_test": 0 * y})
    np.savez("lonely.npz", **{**good, "y_train": np.r_[2, y[1:]]})
    for number in range(6):
        folder = Path("mixed", "cat" if number % 2 else "dog")
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((8, 8 + number), np.uint8)).save(folder / f"{number}.png")
    Path("typo.yaml").write_text("stages: [{widht: {choice: [4, 8]}}]\n")
    Path("even.yaml").write_text("stages: [{width: 8, kernel_size: {choice: [3, 4]}}]\n")
    Path("broken.yaml").write_text("stages: [{width: 8\n")
    Path("small.yaml").write_text("stages: [{width: {choice: [4, 8]}}]\n")
    return tmp_path


def run(arguments: list[str], capsys) -> tuple[int, str, str]:
    """Run the command line in this process: exit code, output, errors."""
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
    "a limit that nothing meets": ([*SMALL, "--max-params", "10"], "the least value in the space"),
    "a limit of zero": ([*SMALL, "--max-flops", "0"], "over 0"),
    "unknown objective": ([*SMALL, "--objectives", "acuracy,params"], "did you mean 'accuracy'"),
    "no quality": ([*SMALL, "--objectives", "params"], "add accuracy"),
    "quality of another task": ([*SMALL, "--objectives", "mean_iou,params"], "use accuracy"),
    "no trials": ([*SMALL, "--trials", "0"], "trials"),
    "a time that is none": ([*SMALL, "--time", "soon"], "write 90s, 30m or 2h"),
    "negative workers": ([*SMALL, "--workers", "-1"], "--workers"),
    "unknown engine": ([*SMALL, "--engine", "optna"], "did you mean 'optuna'"),
    "unknown sampler": ([*SMALL, "--engine", "optuna", "--sampler", "tpa"], "did you mean 'tpe'"),
    "a network outside the space": ([*SMALL, "--start-from", "vgg_small"], "takes points of the space"),
    "a name of odd letters": ([*SMALL, "--name", "a/b", "--objectives", "accuracy,params"], "name"),
    "no search yet": (["front"], "search"),
    "unknown search": (["front", "nosuch"], "start one with: nas search"),
    "nothing to resume": (["search", "--resume"], "search"),
    "not a number": (["show", "a", "b", "c"], "nas show NAME 12"),
    "unknown space to show": (["space", "show", "vgg"], "vgg_like"),
    "an unknown option": (["search", "--spaec", "x"], "--space"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_sentence_and_exit_code_2(case, place, capsys):
    arguments, words = BAD[case]
    code, out, err = run(arguments, capsys)
    assert code == 2
    assert words in err
    assert "Traceback" not in err
    assert out == ""
    if case != "an unknown option":
        said = [line for line in err.splitlines() if not line.startswith("measuring ")]
        assert len(said) == 1
        assert said[0].startswith("nas: ")


def test_mlruns_that_cannot_be_written_is_said(place, capsys):
    Path("mlruns").write_text("a file in the place of the folder")
    code, _, err = run([*SMALL, "--objectives", "accuracy,params"], capsys)
    assert code in (1, 2)
    assert "mlruns" in err
    assert len(err.strip().splitlines()) == 1


def test_help_loads_no_heavy_library():
    script = (
        "import sys\n"
        "from nas.cli import main\n"
        "try:\n    main(['search', '--help'])\nexcept SystemExit:\n    pass\n"
        "heavy = {'tensorflow', 'keras', 'mlflow', 'optuna', 'pandas', 'scipy', 'plotly', 'numpy'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)\n"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ended.stderr.strip() == "[]"
    for word in ("--space", "--resume", "nas search --space xception_like", "--max-params"):
        assert word in ended.stdout


def test_import_nas_is_light():
    script = "import nas, sys; print(sorted({'numpy', 'keras', 'mlflow'} & set(sys.modules)))"
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "[]"


def test_space_list_names_all_that_ship(capsys):
    import json

    code, out, _ = run(["space", "list", "--json"], capsys)
    assert code == 0
    listed = {entry["name"] for entry in json.loads(out)}
    assert listed == {path.stem for path in (REPOSITORY / "search_spaces").rglob("*.yaml")}
