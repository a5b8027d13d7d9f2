"""A report as one HTML page that needs no network: template, styles, D3, scripts and data in one file."""

from __future__ import annotations

import base64
import gzip
import html
import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib.resources import files
from string import Template
from typing import Any

__all__ = ["comparison_html", "page_html"]

SCRIPTS = ("core.js", "front.js", "card.js", "analysis.js")


def comparison_html(data: Mapping[str, Any]) -> str:
    """Return the page of several searches; data: see `nas.searching.comparing`."""
    return page_html(data, ("core.js", "front.js", "compare.js"))


def page_html(data: Mapping[str, Any], scripts: Sequence[str] = SCRIPTS) -> str:
    """Return the page of a report; data: see `nas.searching.reporting`."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return Template(_static("report.html")).substitute(
        title=html.escape(f"{data['name']} · nas"),
        style=_static("report.css"),
        # Compressed, it is a third as large, and no text in it can end the element that holds it.
        data=base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode(),
        library=_static("d3.min.js"),
        scripts="".join(map(_static, scripts)).replace('"use strict";', ""),
    )


@lru_cache
def _static(name: str) -> str:
    return files("nas.report").joinpath("static", name).read_text(encoding="utf-8")
