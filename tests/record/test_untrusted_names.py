"""Names of searches come from records that others can write."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from recorded_trials import deliver, free_port, serve, stop, trial

from nas.errors import InputError, NasWarning
from nas.record import SearchRecord
from nas.record.mlflow_runs import is_search_name

# MLflow 3.17 uses a loader strategy that SQLAlchemy 2.1 deprecates
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")

NAS = [sys.executable, "-c", "from nas.cli import main; main()"]
NAMES = ["../../../victim", "..", "a/b", "/abs", "", ".hidden", "a" * 101, "a\nb", "-x"]


def call(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*NAS, *arguments], cwd=cwd, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_is_no_folder_of_its_own_is_refused(name: str) -> None:
    for use in (SearchRecord.create, SearchRecord.deliver):
        with pytest.raises(InputError, match="a search's name must consist of at most 100 letters"):
            use(name, {}) if use == SearchRecord.create else use(name)


@pytest.mark.trains
@pytest.mark.parametrize("name", ["../../../victim", "[/b]", "\x1b[2J"])
def test_a_name_in_a_record_deletes_nothing_outside(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tmp_path / "one/two/project"
    project.mkdir(parents=True)
    for folder in (tmp_path / "victim", tmp_path / "one/victim", tmp_path / "one/two/victim"):
        folder.mkdir()
        (folder / "precious").write_text("x")
    monkeypatch.chdir(project)
    record = SearchRecord.create("photos", {"space": {}})
    deliver(record, trial(0))
    record.finish("complete")
    record._store.client.set_tag(record.run_id, "nas.name", name)
    with (
        pytest.warns(NasWarning, match="A run is left out: a search's name must consist"),
        pytest.raises(InputError, match="there is no search"),
    ):
        SearchRecord.open()
    commands = [
        ["search", "--resume"],
        ["search", "--resume", name],
        ["front"],
        ["doctor", name],
        ["sync", name],
    ]
    for arguments in commands if "/" in name else commands[2:3]:
        done = call(*arguments, cwd=project)
        assert done.returncode in (1, 2), arguments
        assert "Traceback" not in done.stderr
        assert "\x1b" not in done.stderr
        assert done.stderr.startswith("nas: ")
    assert len(list(tmp_path.glob("**/precious"))) == 3


def test_searches_that_start_in_the_same_second_get_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nas.searching import Plan, session

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(session, "default_name", lambda space: f"{space}-20261128-120000")
    SearchRecord.create("other", {}).close()  # the database exists
    plan = Plan.parse({"space": {}})
    with ThreadPoolExecutor(8) as pool:
        records = list(pool.map(lambda _: session._create_record(None, "mine", plan, None), range(8)))
    names = {record.name for record in records}
    assert len(names) == 8
    assert "mine-20261128-120000" in names
    for record in records:
        record.close()


def test_the_default_name_is_a_valid_name() -> None:
    from nas.searching.session import default_name

    for space in ("xception_like", "[/b]", "../../x", "", "ü" * 200, "a b", "-x"):
        assert is_search_name(default_name(space))


@pytest.mark.trains
@pytest.mark.parametrize("answers", [True, False])
def test_credentials_appear_nowhere(answers: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:hunter22@127.0.0.1:{port}")
    project, server_folder = tmp_path / "project", tmp_path / "server"
    project.mkdir()
    server_folder.mkdir()
    server = serve(server_folder, port)
    try:
        arguments = ["search", "--space", "xception_like", "--trials", "2", "--epochs", "1", "--workers", "0"]
        arguments += ["--objectives", "accuracy,params", "--name", "photos"]
        done = [call(*arguments, cwd=project)]
        assert done[0].returncode == 0, done[0].stderr
        if not answers:
            stop(server)
        more = (["front"], ["report"], ["search", "--resume"], ["sync"])
        done += [call(*each, cwd=project) for each in more]
    finally:
        if answers:
            stop(server)
    for each in done:
        assert "hunter22" not in each.stdout + each.stderr
        assert "Traceback" not in each.stderr
    assert f"http://127.0.0.1:{port}" in done[0].stdout
    files = [path for path in tmp_path.glob("**/*") if path.is_file()]
    assert any(path.name == "report.html" for path in files)
    assert [path for path in files if b"hunter22" in path.read_bytes()] == []
