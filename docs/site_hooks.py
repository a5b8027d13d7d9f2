"""MkDocs hooks: the README as the start page, and the results of the benchmarks beside the documentation."""

from __future__ import annotations

from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
REPOSITORY_FILES = ("CONTRIBUTING.md", "CHANGELOG.md")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the files of the repository that pages of `docs/` link to."""
    start = (ROOT / "README.md").read_text(encoding="utf-8")
    start = start.replace("](docs/", "](").replace("](benchmarks/results", "](benchmarks-results")
    files.append(File.generated(config, "index.md", content=start))
    for name in REPOSITORY_FILES:
        text = (ROOT / name).read_text(encoding="utf-8").replace("](docs/", "](")
        files.append(File.generated(config, name, content=text))
    for path in sorted((ROOT / "benchmarks" / "results").iterdir()):
        if path.suffix in (".md", ".png"):
            files.append(File.generated(config, f"benchmarks-results/{path.name}", abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001
    """Point links to `benchmarks/results` and to files of the repository at their pages."""
    depth = page.file.src_uri.count("/")
    markdown = markdown.replace(
        "](" + "../" * (depth + 1) + "benchmarks/results/", "](" + "../" * depth + "benchmarks-results/"
    )
    for name in REPOSITORY_FILES:
        markdown = markdown.replace("](" + "../" * (depth + 1) + name, "](" + "../" * depth + name)
    return markdown
