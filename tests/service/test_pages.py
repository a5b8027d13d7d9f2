"""The pages over HTTP, from a real server and a real record."""

from __future__ import annotations

import json
import threading
import time
import urllib.error
import urllib.request
from dataclasses import replace

import pytest
import uvicorn
from browsers import chromium, opened
from playwright.sync_api import expect
from recorded_trials import free_port
from reported_search import checkpoint, dataset, plan, trials

from nas.record import SearchRecord
from nas.service import pages

pytestmark = pytest.mark.trains  # it starts a server


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Make a record of a search that has ended, and of one that runs, the latest."""
    folder = tmp_path_factory.mktemp("project")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.setattr(pages, "POLL_SECONDS", 0.2)
        config = plan().model_dump(mode="json")
        ended = SearchRecord.create("ended", config, dataset())
        for trial in trials()[:6]:
            ended.log(trial, {"checkpoint.npz": checkpoint(folder, trial)})
        ended.attach({"time.json": json.dumps({"train": 0.5})})
        ended.finish("complete")
        running = SearchRecord.create("running", config, dataset())
        running.log(trials()[0])
        running.flush()
        port = free_port()
        server = uvicorn.Server(
            uvicorn.Config(pages.create_pages(None, "http://127.0.0.1:1"), port=port, log_level="error")
        )
        thread = threading.Thread(target=server.run)
        thread.start()
        while not server.started:
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}", running
        server.should_exit = True
        thread.join()
        running.close()


def get(address: str, **headers: str) -> tuple[int, str, dict[str, str]]:
    try:
        with urllib.request.urlopen(urllib.request.Request(address, headers=headers), timeout=30) as answer:
            return answer.status, answer.read().decode(), dict(answer.headers)
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(), dict(error.headers)


def test_the_start_page_is_the_latest_search(project):
    address, _ = project
    with urllib.request.urlopen(address) as answer:
        assert answer.url == f"{address}/searches/running"


def test_the_data_of_an_ended_search(project):
    address, _ = project
    status, text, headers = get(f"{address}/searches/ended/data")
    data = json.loads(text)
    assert status == 200
    assert data["state"] == "complete"
    assert data["columns"]["trial"] == list(range(6))
    assert data["worker_time"] == {"train": 0.5}
    assert data["others"] == ["running"]
    assert data["mlflow"].startswith("http://127.0.0.1:1/#/experiments/")
    assert set(map(int, data["results"])) == set(data["front"])
    assert all(link.startswith("http://127.0.0.1:1/#/experiments/") for link in data["links"].values())
    assert get(f"{address}/searches/ended/data", **{"If-None-Match": headers["etag"]})[0] == 304


def test_a_page_cannot_load_anything_and_other_names_of_the_host_are_refused(project):
    address, _ = project
    assert "default-src 'none'" in get(f"{address}/searches/ended")[2]["content-security-policy"]
    assert get(f"{address}/searches/ended", Host="evil.example")[0] == 400


def test_an_unknown_search_is_a_sentence(project):
    address, _ = project
    status, text, _ = get(f"{address}/searches/endet")
    assert status == 404
    assert "did you mean &#x27;ended&#x27;" in text or "ended" in text
    assert json.loads(get(f"{address}/searches/%3Cb%3E/data")[1])["detail"].startswith("unknown search")
    assert "<b>" not in get(f"{address}/searches/%3Cb%3E")[1]


def test_the_page_of_a_running_search_updates_itself(project):
    address, record = project
    with chromium() as browser, opened(browser, f"{address}/searches/running") as page:
        assert page.locator("h1 .badge").inner_text() == "running"
        assert page.locator("tr.row").count() == 1
        page.locator("#filter").fill("params > 1")
        record.log(replace(trials()[1], number=1))
        expect(page.locator("tr.row")).to_have_count(2, timeout=30_000)
        assert page.locator("#filter").input_value() == "params > 1"
