"""Zips that no tool for data sets writes are refused, without writing, hanging or filling the memory."""

from __future__ import annotations

import os
import struct
import zipfile
from pathlib import Path

import pytest
from data_files import assert_refused, save_class_folders, save_zip

from nas.data import load_dataset

CENTRAL = b"PK\x01\x02"


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    """A zip of two classes."""
    return Path(save_zip(save_class_folders(tmp_path / "pets"), tmp_path / "pets.zip"))


@pytest.mark.parametrize(
    "name", ["../out.png", "cat/../../out.png", "/etc/out.png", "C:\\out.png", "..\\out.png"]
)
def test_names_outside_the_archive_are_refused(pets: Path, name: str) -> None:
    with zipfile.ZipFile(pets, "a") as archive:
        archive.writestr(name, b"no image")
    assert_refused(str(pets), "relative names without '..', got .*out.png")


def test_backslashes_are_separators(tmp_path: Path, pets: Path) -> None:
    with zipfile.ZipFile(tmp_path / "windows.zip", "w") as target, zipfile.ZipFile(pets) as source:
        target.writestr("pets\\", b"")
        for name in source.namelist():
            if not name.endswith("/"):
                target.writestr("pets\\" + name.replace("/", "\\"), source.read(name))
    windows = load_dataset(str(tmp_path / "windows.zip"))
    assert windows.fingerprint == load_dataset(str(pets)).fingerprint
    assert any("Backslashes" in note for note in windows.notes)


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("name", ["cat/0.png", "./cat/0.png", "cat\\0.png"])
def test_a_name_that_occurs_twice_is_refused(pets: Path, name: str) -> None:
    with zipfile.ZipFile(pets, "a") as archive:
        archive.writestr(name, b"another content")
    assert_refused(str(pets), "each name once, got 'cat/0.png' twice")


def test_encrypted_and_unknown_methods_are_refused(pets: Path) -> None:
    content = pets.read_bytes()
    start = content.rindex(CENTRAL)
    for offset, value, match in ((8, 1, "must not be encrypted"), (10, 9, "got method 9")):
        pets.write_bytes(content[: start + offset] + struct.pack("<H", value) + content[start + offset + 2 :])
        assert_refused(str(pets), match)


def test_links_in_a_zip_are_left_out(pets: Path) -> None:
    link = zipfile.ZipInfo("dog/link.png")
    link.create_system, link.external_attr = 3, 0o120777 << 16
    with zipfile.ZipFile(pets, "a") as archive:
        archive.writestr(link, "/etc/passwd")
    assert any("dog/link.png" in warning for warning in load_dataset(str(pets)).warnings)


def test_more_bytes_than_a_file_can_hold_are_refused(pets: Path) -> None:
    content = pets.read_bytes()
    start = content.rindex(CENTRAL)
    pets.write_bytes(content[: start + 24] + struct.pack("<I", 2**32 - 2) + content[start + 28 :])
    assert_refused(str(pets), "must not hold more than 1,032 times its size, got 4,29")


def test_entries_that_share_their_bytes_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("cat/0000.png", b"\x89PNG\r\n\x1a\n" + bytes(20_000_000))
    content = (tmp_path / "bomb.zip").read_bytes()
    start, end = content.index(CENTRAL), content.index(b"PK\x05\x06")
    entry = content[start:end]
    entries = b"".join(entry.replace(b"0000", b"%04d" % number) for number in range(1000))
    tail = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 1000, 1000, len(entries), start, 0)
    (tmp_path / "bomb.zip").write_bytes(content[:start] + entries + tail)
    assert_refused(str(tmp_path / "bomb.zip"), "must not hold more than 1,032 times its size")


def test_an_entry_with_another_size_or_checksum_is_unreadable(pets: Path) -> None:
    content = pets.read_bytes()
    start = content.rindex(CENTRAL)
    for offset in (16, 24):  # the checksum and the size
        value = struct.unpack_from("<I", content, start + offset)[0] - 1
        pets.write_bytes(content[: start + offset] + struct.pack("<I", value) + content[start + offset + 4 :])
        assert_refused(str(pets), "images must be readable, got .*dog/4.png")


@pytest.mark.timeout(30)
@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs FIFOs")
def test_a_zip_must_be_a_regular_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.zip")
    assert_refused(str(tmp_path / "pipe.zip"), "must be a regular file or a folder")
