"""The documentation: generated pages are current, links resolve, the tutorial runs, the site builds."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *DOCS.rglob("*.md")])


def run(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    environment.pop("MLFLOW_TRACKING_URI", None)
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, timeout=280, env=environment
    )


def test_generated_pages_are_current():
    done = run([sys.executable, "docs/generate_reference.py", "--check"], ROOT)
    assert done.returncode == 0, done.stderr


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as MkDocs writes them."""
    titles = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\s-]", "", title).strip().lower().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_links_resolve(page):
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), f"{page.name} links to {target}"
        assert not anchor or anchor in anchors(linked), f"{page.name} links to {target}"


@pytest.mark.trains
def test_the_tutorial_runs(tmp_path):
    """Every command of the tutorial in its order, with fewer trials."""
    text = (DOCS / "tutorial.md").read_text(encoding="utf-8")
    for name, content in re.findall(r'```python title="(\S+)"\n(.*?)```', text, flags=re.DOTALL):
        (tmp_path / name).write_text(content, encoding="utf-8")
    commands = re.findall(r"^\$ (.*)$", text, flags=re.MULTILINE)
    assert any(command.startswith("nas search") for command in commands)
    for command in commands:
        arguments = re.sub(r"--trials \d+", "--trials 3 --epochs 3", command).split()
        done = run(arguments, tmp_path)
        assert done.returncode == 0, f"{command}\n{done.stderr}"
    assert re.search(r"class \d, score [01]\.\d\d", done.stdout)


def test_the_site_builds_without_a_network(tmp_path):
    done = run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)], ROOT
    )
    assert done.returncode == 0, done.stderr
    for page in tmp_path.rglob("*.html"):
        loaded = re.findall(r'<(?:script|link|img)[^>]+(?:src|href)="(https?:[^"]+)"', page.read_text())
        assert not [address for address in loaded if "canonical" not in address], page
