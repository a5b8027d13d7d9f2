"""Pages in headless Chromium."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
]


@contextmanager
def chromium() -> Iterator[object]:
    """Yield Playwright's browser; skip the test where no Chromium is installed."""
    from playwright.sync_api import sync_playwright

    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("no Chromium is installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


@contextmanager
def opened(browser, address: str, width: int = 1280, scheme: str = "light") -> Iterator[object]:
    """Yield a page that is drawn; fail if it logs an error or asks for anything from a network."""
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    page.on("request", lambda request: problems.append(request.url) if is_outside(request.url) else None)
    page.goto(address)
    page.wait_for_selector("body[data-drawn]", timeout=20_000)
    yield page
    assert problems == []
    page.close()


def is_outside(address: str) -> bool:
    return not address.startswith(("file:", "data:", "blob:", "http://127.0.0.1"))
