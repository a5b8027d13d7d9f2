"""The descriptions that MLflow shows of a search's run and of the experiment, in Markdown.

MLflow folds a description after its first lines, so that the first line is a link to the report.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

from nas.record.mlflow_runs import is_search_name
from nas.record.mlflow_store import MODEL_PAGES, RUN_STATUS, Store

__all__ = ["DESCRIPTION_FILE", "describe_run", "list_searches"]

DESCRIPTION_FILE = "description.md"
"""The file in the spool that becomes the description of the search's run."""

NOTE = "mlflow.note.content"
"""MLflow's tag for a description."""

LISTED = 20
"""Searches that the description of the experiment lists."""

OWN = ("[Report", "The front: artifacts front.html")
"""How the descriptions of this package begin, also those of version 0.1. Others are a user's: they stay."""


def describe_run(store: Store, run_id: str, text: str) -> None:
    """Set the description of a search's run: the link to its report, and a text below."""
    before = store.client.get_run(run_id).data.tags
    if _is_own(before):
        link = f"[Report: the answers, the front, every network]({_report_address(store, run_id)})"
        store.client.set_tag(run_id, NOTE, f"{link}\n\n{text}")


def list_searches(store: Store) -> None:
    """Set the description of the experiment: links to the reports of the latest searches."""
    found = store.client.search_runs(
        [store.experiment_id],
        "tags.`nas.kind` = 'search'",
        max_results=LISTED,
        order_by=["attributes.start_time DESC"],
    )
    searches = [run for run in found if is_search_name(str(run.data.tags.get("nas.name", "")))]
    before = store.client.get_experiment(store.experiment_id).tags
    if not searches or not _is_own(before):
        return
    states = {status: state for state, status in RUN_STATUS.items()}
    rows = []
    for run in searches:
        started = time.strftime("%Y-%m-%d %H:%M", time.gmtime(run.info.start_time / 1000))
        link = f"[{run.data.tags['nas.name']}]({_report_address(store, run.info.run_id)})"
        rows.append(f"| {link} | {started} | {states.get(run.info.status, 'not ended')} |")
    first = searches[0]
    lines = [
        f"[Report of {first.data.tags['nas.name']}]({_report_address(store, first.info.run_id)}), "
        "the latest search",
        "",
        "| report of the search | started (UTC) | state |",
        "| --- | --- | --- |",
        *rows,
    ]
    store.client.set_experiment_tag(store.experiment_id, NOTE, "\n".join(lines))


def _report_address(store: Store, run_id: str) -> str:
    """Return the address of a search's report on the same server."""
    return f"#/experiments/{store.experiment_id}/runs/{run_id}/artifacts/report.html?{MODEL_PAGES}"


def _is_own(tags: Mapping[str, str]) -> bool:
    note = tags.get(NOTE, "")
    return not note or note.startswith(OWN)
