"""Damaged zips and arbitrary folders end with a data set or with one sentence, never with another error."""

from __future__ import annotations

import io
import os
import tempfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from nas.data import DataOptions, load_dataset
from nas.data.folder_names import KIND_WORDS, SPLIT_WORDS
from nas.errors import DataError

EXAMPLES = int(os.environ.get("NAS_FUZZ_EXAMPLES", "60"))
fuzzed = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))


def picture(name: str, seed: int, side: int = 6) -> bytes:
    buffer = io.BytesIO()
    image = Image.new("L", (side, side), seed % 256)
    image.putpixel((seed % side, seed % 5), 255 - seed % 256)
    image.save(buffer, name)
    return buffer.getvalue()


def archive(method: int) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as target:
        for split, count in (("train", 4), ("test", 2)):
            for label, name in enumerate(("cat", "dog")):
                for number in range(count):
                    kind = ("PNG", "JPEG", "GIF", "BMP")[number]
                    seed = 50 * label + 10 * number + count
                    target.writestr(f"pets/{split}/{name}/{number}.{kind.lower()}", picture(kind, seed))
    return buffer.getvalue()


ARCHIVES = [archive(zipfile.ZIP_STORED), archive(zipfile.ZIP_DEFLATED), archive(zipfile.ZIP_LZMA)]


def load_or_refuse(path: Path, **options: object) -> None:
    """Load a data set; an error must be one sentence with a fix."""
    try:
        data = load_dataset(str(path), DataOptions.parse({"image_size": 6, **options}))
    except DataError as error:
        sentence = str(error)
        assert "\n" not in sentence
        assert ";" in sentence
    else:
        assert len(data.train)
        assert all("\n" not in text and text.endswith(".") for text in (*data.notes, *data.warnings))


@fuzzed
@given(
    content=st.sampled_from(ARCHIVES),
    edits=st.lists(
        st.tuples(
            st.integers(0, 10**6), st.sampled_from(["set", "delete", "insert", "cut"]), st.binary(max_size=8)
        ),
        min_size=1,
        max_size=6,
    ),
)
@pytest.mark.timeout(0)
def test_damaged_zips_are_read_or_refused(content: bytes, edits: list[tuple[int, str, bytes]]) -> None:
    for place, kind, value in edits:
        at = len(content) - 1 - place % len(content) if content else 0  # small numbers: the central directory
        if kind == "set":
            content = content[:at] + value + content[at + len(value) :]
        elif kind == "delete":
            content = content[:at] + content[at + len(value) :]
        elif kind == "insert":
            content = content[:at] + value + content[at:]
        else:
            content = content[:at] if place % 3 == 0 else content
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "some.zip"
        path.write_bytes(content)
        load_or_refuse(path)
        assert os.listdir(folder) == ["some.zip"]


NAMES = st.one_of(
    st.sampled_from(
        sorted({*SPLIT_WORDS, *KIND_WORDS, "cat", "dog", "1", "10", "Thumbs.db", "a b", "x_mask"})
    ),
    st.text(st.characters(exclude_characters="/\0"), min_size=1, max_size=12),
)
CONTENTS = st.one_of(
    st.builds(
        picture, st.sampled_from(["PNG", "JPEG", "GIF"]), st.integers(0, 99), st.sampled_from([6, 6, 9])
    ),
    st.binary(max_size=40),
)
PATHS = st.lists(NAMES, min_size=1, max_size=4).filter(lambda parts: not {".", ".."} & set(parts))
LISTINGS = st.lists(
    st.tuples(
        PATHS,
        st.sampled_from(["", ".png", ".jpg", ".txt"]),
        st.sampled_from(["file"] * 6 + ["folder", "link"]),
        CONTENTS,
    ),
    max_size=30,
)
LABELS = st.sampled_from(["auto", "classes", "masks"])


@fuzzed
@given(listing=LISTINGS, labels=LABELS, drop=st.booleans())
@pytest.mark.timeout(0)
def test_arbitrary_folders_are_read_or_refused(
    listing: list[tuple[list[str], str, str, bytes]], labels: str, drop: bool
) -> None:
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root) / "data"
        folder.mkdir()
        for parts, suffix, kind, content in listing:
            try:
                path = folder.joinpath(*parts[:-1], parts[-1] + suffix)
                path.parent.mkdir(parents=True, exist_ok=True)
                if kind == "file":
                    path.write_bytes(content)
                elif kind == "folder":
                    path.mkdir(exist_ok=True)
                else:
                    path.symlink_to(folder / parts[0])
            except (OSError, ValueError):  # a file where a folder is, or a name that the system refuses
                continue
        load_or_refuse(folder, labels=labels, drop_duplicates=drop)


@fuzzed
@given(listing=LISTINGS, labels=LABELS)
@pytest.mark.timeout(0)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_arbitrary_names_in_zips_are_read_or_refused(
    listing: list[tuple[list[str], str, str, bytes]], labels: str
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "some.zip"
        with zipfile.ZipFile(path, "w") as target:
            for parts, suffix, kind, content in listing:
                name = "/".join(parts) + suffix + ("/" if kind == "folder" else "")
                try:
                    target.writestr(name, b"" if kind == "folder" else content)
                except UnicodeEncodeError:
                    continue
        load_or_refuse(path, labels=labels)
        assert os.listdir(folder) == ["some.zip"]
