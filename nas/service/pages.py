"""The pages of searches as a web application that only reads the record."""

from __future__ import annotations

import html
import threading
import time
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from nas.errors import InputError, NasError
from nas.record import SearchRecord, recorded_names
from nas.report import page_html
from nas.searching import RecordedReport

__all__ = ["create_pages"]

POLL_SECONDS = 5.0
"""Least interval at which a page asks for newer data of a running search."""

SHARE = 0.01
"""Greatest share of the time in which the record of a running search is read for its page."""

OTHERS = 20
"""Other searches that a page links to."""

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


def create_pages(name: str | None, mlflow: str) -> Starlette:
    """Return the application: `/` shows a search, the latest by default, and `/searches/NAME` any other.

    mlflow: the address of MLflow's server, to which the pages link. Only requests to this machine's own
    names are answered, so that no other page in the browser can read them.
    """
    reports = _Reports(mlflow)

    def start(_: Request) -> Response:
        try:
            return RedirectResponse(f"/searches/{name or reports.latest()}", 303)
        except NasError as error:
            return _failed(error)

    def page(request: Request) -> Response:
        try:
            data = reports.data(request.path_params["name"])
        except NasError as error:
            return _failed(error)
        return HTMLResponse(page_html(data), headers=HEADERS)

    def newer(request: Request) -> Response:
        try:
            data = reports.data(request.path_params["name"])
        except NasError as error:
            return JSONResponse({"detail": str(error)}, _status(error), HEADERS)
        if request.headers.get("If-None-Match") == data["version"]:
            return Response(status_code=304, headers=HEADERS)
        return JSONResponse(data, headers={**HEADERS, "ETag": data["version"]})

    routes = [Route("/", start), Route("/searches/{name}", page), Route("/searches/{name}/data", newer)]
    hosts = Middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"])
    return Starlette(routes=routes, middleware=[hosts])


class _Reports:
    """The reports of the searches that were asked for; each is read by one thread at a time."""

    def __init__(self, mlflow: str) -> None:
        self._mlflow = mlflow
        self._reports: dict[str, RecordedReport] = {}
        self._last: dict[str, tuple[float, dict[str, Any]]] = {}  # when to read again, and what was read
        self._lock = threading.Lock()

    def latest(self) -> str:
        """Return the name of the latest search; raises InputError if there is none."""
        return SearchRecord.open().name

    def data(self, name: str) -> dict[str, Any]:
        """Return the data of the page of a search."""
        with self._lock:
            if name in self._last and time.monotonic() < self._last[name][0]:
                return self._last[name][1]
            if name not in self._reports:
                self._reports[name] = RecordedReport(name, self._mlflow)
            started = time.thread_time()
            data = dict(self._reports[name].data())
            pause = max(POLL_SECONDS, (time.thread_time() - started) / SHARE)
            data["others"] = [other for other in recorded_names() if other != name][:OTHERS]
            data["poll"] = f"/searches/{name}/data"
            data["poll_ms"] = int(1000 * pause)
            again = time.monotonic() + (pause if data["state"] == "running" else POLL_SECONDS)
            self._last[name] = again, data
            return data


def _status(error: NasError) -> int:
    return 404 if isinstance(error, InputError) else 503


def _failed(error: NasError) -> HTMLResponse:
    text = html.escape(str(error))
    page = f"<!doctype html><meta charset=utf-8><title>nas</title><p>{text}</p><p><a href=/>again</a></p>"
    return HTMLResponse(page, _status(error), HEADERS)
