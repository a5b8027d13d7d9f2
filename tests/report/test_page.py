"""The page of a report in a browser: what users click, filter, sort and compare."""

from __future__ import annotations

import itertools
import re
from dataclasses import replace

import numpy as np
import pytest
from browsers import chromium, opened
from reported_search import checkpoint, dataset, plan, trials

from nas.data import Split
from nas.report import network_data, page_html
from nas.searching.confirmed import confirm_members
from nas.searching.confirmed_trainings import ConfirmedTraining
from nas.searching.reporting import Reporter
from nas.trials import pareto_front

pytestmark = pytest.mark.trains  # it starts a browser


@pytest.fixture(scope="module")
def browser():
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoints")
    link = "http://127.0.0.1:1/{}".format
    reporter = Reporter(
        "photos", plan(), dataset(), lambda t: checkpoint(folder, t), lambda t: link(t.number)
    )
    return reporter.data(
        trials(), "complete", {"params over the limit 50,000": 3}, worker_time={"train": 0.75}
    )


@pytest.fixture(scope="module")
def address(data, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(page_html(data), encoding="utf-8")
    return path.as_uri()


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (390, "light")])
def test_every_part_is_drawn_at_each_width(browser, address, data, width, scheme):
    with opened(browser, address, width, scheme) as page:
        for part in (
            "answers",
            "front",
            "table",
            "parallel",
            "importance",
            "contrasts",
            "history",
            "time",
            "screened",
            "facts",
        ):
            assert page.locator(f"#{part} h2").count() == 1, part
        assert page.locator("#figure path.point").count() == len(trials())
        assert page.locator("#answers .panel").count() == len(data["answers"])
        overflow = page.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        assert overflow <= 0
        back = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (back == "rgb(255, 255, 255)") == (scheme == "light")


def test_a_click_on_a_point_selects_its_network(browser, address, data):
    member = pareto_front(trials(), plan().criteria)[-1]
    with opened(browser, address) as page:
        page.locator(f"#point-{member.number}").click(force=True)
        card = page.locator("#card")
        assert card.locator("h3").first.inner_text().startswith(f"Trial {member.number}")
        assert page.locator("tr.chosen").get_attribute("data-trial") == str(member.number)
        assert (
            card.locator("a", has_text="run in MLflow").get_attribute("href")
            == f"http://127.0.0.1:1/{member.number}"
        )
        assert card.locator("text=Confusion matrix").count() == 1
        assert card.locator(".errors img").count() == len(data["results"][member.number]["errors"])
        assert f"nas export photos --pick {member.number}" in card.inner_text()
        stages = data["networks"][member.number]["stages"]
        assert card.locator("table").first.locator("tbody tr").count() == len(stages)


def test_a_filter_counts_for_the_figure_and_the_table(browser, address):
    chosen = [t for t in trials() if t.values["params"] < 20_000 and t.values["accuracy"] >= 0.5]
    with opened(browser, address) as page:
        page.locator("#filter").fill("params < 20000 and accuracy >= 0.5")
        assert f"{len(chosen)} of {len(trials())} trials" in page.locator("#table p").first.inner_text()
        shown = page.locator("tr.row").evaluate_all("rows => rows.map(row => +row.dataset.trial)")
        assert set(shown) == {trial.number for trial in chosen}
        bright = page.locator("#figure path.point").evaluate_all(
            "points => points.filter(p => +p.getAttribute('opacity') > 0.2).map(p => +p.id.slice(6))"
        )
        assert set(bright) == {trial.number for trial in chosen}
        page.locator("#filter").fill("params <")
        assert page.locator("#table tr.row").count() == 0
        page.locator("#filter").fill("nonsense > 3")
        assert "Not understood" in page.locator("#filter-problem").inner_text()
        page.locator("#filter").fill("params < 20,000, accuracy >= 50%")
        assert page.locator("#table tr.row").count() == min(25, len(chosen))
        page.locator("#filter").fill("block.conv = separable")
        separable = [
            t
            for t in trials()
            if {value for name, value in t.setting.items() if name.startswith("block.conv.")} == {"separable"}
        ]
        assert page.locator("#table tr.row").count() == len(separable)
        page.locator("#filter").fill("block.residual = none")
        assert page.locator("#table tr.row").count() == sum(
            t.setting["block.residual"] == "none" for t in trials()
        )


def test_the_table_sorts_by_any_column(browser, address):
    with opened(browser, address) as page:
        front = [trial.number for trial in pareto_front(trials(), plan().criteria)]
        shown = "rows => rows.map(row => +row.dataset.trial)"
        assert page.locator("tr.row").evaluate_all(shown)[: len(front)] == front
        page.locator("#table button", has_text="show more").click()
        page.locator("#table th button", has_text="Parameters").click()
        order = [t.number for t in sorted(trials(), key=lambda t: t.values["params"])]
        assert page.locator("tr.row").evaluate_all(shown) == order
        page.locator("#table th button", has_text="Parameters").click()
        assert page.locator("tr.row").evaluate_all(shown)[0] == order[-1]
        page.locator("tr.row").nth(1).press("Enter")
        assert page.locator("#card h3").first.inner_text().startswith(f"Trial {order[-2]}")


def test_two_networks_are_compared_side_by_side(browser, address):
    first, second = trials()[0], trials()[1]
    with opened(browser, address) as page:
        page.locator(f"tr.row[data-trial='{first.number}']").click()
        page.locator("#card button", has_text="compare").click()
        page.locator(f"tr.row[data-trial='{second.number}']").click()
        box = page.locator("#comparison")
        assert box.locator("h2").inner_text() == f"Trials {first.number} and {second.number}"
        names = first.setting.keys() | second.setting.keys()
        differing = [name for name in names if first.setting.get(name) != second.setting.get(name)]
        for name in differing:
            assert (
                box.locator("tr", has=page.locator(f"td:text-is('{name}')")).locator("td.differs").count()
                == 2
            )
        same = next(name for name in names if name not in differing)
        assert box.locator("tr", has=page.locator(f"td:text-is('{same}')")).locator("td.differs").count() == 0


def test_axes_and_colours_can_be_chosen(browser, address):
    with opened(browser, address) as page:
        page.locator("label", has_text="across").locator("select").select_option("latency_ms")
        assert "Latency" in page.locator("#figure svg").text_content()
        page.locator("label", has_text="colour").locator("select").select_option("block.residual")
        fills = page.locator("#figure path.point").evaluate_all(
            "points => points.map(p => p.getAttribute('fill'))"
        )
        assert len({fill for fill in fills if fill.startswith("#")}) == 3
        assert page.locator("#figure path.stairs").count() >= 2
        page.locator("label", has_text="stopped early").locator("input").uncheck()
        assert page.locator("#figure path.point").count() == sum(t.state == "complete" for t in trials())


def test_a_range_of_an_axis_selects(browser, address):
    with opened(browser, address) as page:
        axis = page.locator("#parallel svg .overlay").nth(0)
        axis.scroll_into_view_if_needed()
        box = axis.bounding_box()
        page.mouse.move(box["x"] + 8, box["y"] + 2)
        page.mouse.down()
        page.mouse.move(box["x"] + 8, box["y"] + box["height"] / 3)
        page.mouse.up()
        text = page.locator("#table p").first.inner_text()
        assert 0 < int(text.split()[0]) < len(trials())


def test_text_of_users_is_no_markup(browser, data, tmp_path):
    evil = "</script><script>document.title='run'</script><img src=x onerror=alert(1)>"
    changed = {**data, "subtitle": evil, "classes": [evil] * 10, "facts": [(evil, evil)]}
    changed["labels"] = dict.fromkeys(data["labels"], evil)
    page = page_html(changed)
    assert evil not in page
    (tmp_path / "page.html").write_text(page, encoding="utf-8")
    with opened(browser, (tmp_path / "page.html").as_uri()) as shown:
        assert shown.title() == "photos · nas"
        assert evil in shown.locator("#facts").inner_text()
        assert shown.locator("img[src=x]").count() == 0


def test_the_page_of_one_network(browser, tmp_path):
    trial = trials()[0]
    few = Split(np.asarray(dataset().validation.x[:50]), np.asarray(dataset().validation.y[:50]))
    data = network_data(
        "mine", trial.design, quality="accuracy",
        values={"accuracy": 0.9, "params": 1234, "test_accuracy": 0.875},
        curve=trial.curve, dataset=dataset(), split=few, facts=[("seed", "0")],
        answers={"predicted": few.y, "losses": np.zeros(50)},
    )  # fmt: skip
    (tmp_path / "page.html").write_text(page_html(data), encoding="utf-8")
    with opened(browser, (tmp_path / "page.html").as_uri()) as page:
        text = page.locator("body").inner_text()
        for part in (
            "Test accuracy 87.5 %",
            "Parameters 1,234",
            "Confusion matrix",
            "Learning curve",
            "Test examples",
        ):
            assert part in text
        assert page.locator("#front").count() == 0


def test_other_tasks_are_drawn(browser, data, tmp_path):
    member = data["front"][0]
    shown = {
        "numbers": [{"name": "age", "truth": [1, 2], "predicted": [1.5, 2]}],
        "labels": {"title": "Labels", "columns": ["label", "recall"], "rows": [["cat", 0.5]]},
        "errors": [],
    }
    changed = {**data, "results": {member: shown}}
    (tmp_path / "page.html").write_text(page_html(changed), encoding="utf-8")
    with opened(browser, (tmp_path / "page.html").as_uri() + f"#trial-{member}") as page:
        card = page.locator("#card").inner_text()
        assert "Predicted and true numbers" in card
        assert re.search(r"cat\s+50.0 %", card)


def test_five_thousand_trials_are_one_small_page(browser, data, tmp_path):
    many = [replace(t, number=t.number + 40 * n) for n in range(125) for t in trials()]
    reporter = Reporter("photos", plan(), dataset(), lambda _: tmp_path / "absent.npz")
    page = page_html(reporter.data(many, "complete", {}, thorough=False))
    assert len(page) < 1_500_000
    (tmp_path / "page.html").write_text(page, encoding="utf-8")
    with opened(browser, (tmp_path / "page.html").as_uri()) as shown:
        assert shown.locator("#figure path.point").count() == 5000
        assert shown.locator("tr.row").count() == 25


def test_confirmed_members_are_shown_and_selected(browser, data, tmp_path):
    members = pareto_front(trials(), plan().criteria)[:2]
    rng = np.random.default_rng(0)
    trainings = []
    for member, seed in itertools.product(members, range(3)):
        right = (rng.random(200) < 0.9).astype(float)
        values = {"accuracy": float(right.mean())}
        trainings.append(ConfirmedTraining(member.number, member.id, seed, values, values, right, right))
    asked = [(member.number, seed) for member in members for seed in range(4)]
    found = confirm_members("photos", plan(), trials(), trainings, asked)
    path = tmp_path / "report.html"
    path.write_text(page_html({**data, "confirmed": found.as_data()}), encoding="utf-8")
    with opened(browser, path.as_uri(), 390) as page:
        section = page.locator("#confirmed")
        assert "2 trainings are missing" in section.inner_text()
        assert section.locator("tbody tr").count() == 2
        best = found.members[0]
        cells = section.locator("tbody tr").first.locator("td").all_inner_texts()
        assert cells[0] == str(best.trial.number)
        assert cells[4] == f"{100 * best.test.mean:.1f} ± {100 * best.test.error:.1f} %"
        assert cells[5] == "a"
        section.locator("tbody tr").last.click()
        card = page.locator("#card h3").first.inner_text()
        assert card.startswith(f"Trial {found.members[1].trial.number}")
