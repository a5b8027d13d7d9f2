"""One damaged image of a hundred is skipped with its name, however it is damaged."""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from data_files import assert_refused
from PIL import Image

from nas.data import DataOptions, load_dataset


def photo(seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (16, 16, 3)).astype(np.uint8))


def flipped(content: bytes) -> bytes:
    middle = len(content) // 2
    return (
        content[:middle] + bytes(byte ^ 255 for byte in content[middle : middle + 8]) + content[middle + 8 :]
    )


def huge(content: bytes) -> bytes:
    """Return a PNG whose header tells 60,000 x 60,000 pixels, with a right checksum."""
    header = b"IHDR" + struct.pack(">II", 60_000, 60_000) + content[24:29]
    return content[:12] + header + struct.pack(">I", zlib.crc32(header)) + content[33:]


def half(content: bytes) -> bytes:
    return content[: len(content) // 2]


def save_all(folder: Path, suffix: str, damage: Callable[[bytes], bytes]) -> str:
    for number in range(100):
        path = folder / "ab"[number % 2] / f"{number}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        photo(number).save(path)
    damaged = folder / "a" / f"40{suffix}"
    damaged.write_bytes(damage(damaged.read_bytes()))
    return str(folder)


@pytest.mark.parametrize(
    ("suffix", "damage"),
    [(".png", flipped), (".png", huge), (".png", half), (".tif", half), (".webp", half), (".jp2", half),
     (".bmp", half), (".jpg", half), (".jpg", lambda content: content[:30] + content[200:])],
    ids=["png flipped", "png huge", "png half", "tif half", "webp half", "jp2 half", "bmp half", "jpg half",
         "jpg header"],
)  # fmt: skip
def test_a_damaged_image_is_skipped_and_listed(tmp_path: Path, suffix: str, damage) -> None:
    source = save_all(tmp_path, suffix, damage)
    data = load_dataset(source)
    assert data.test is not None
    assert len(data.train) + len(data.validation) + len(data.test) == 99
    (warning,) = (text for text in data.warnings if "cannot be read" in text)
    assert warning.startswith("1 of 100 images cannot be read and are skipped: ")
    assert f"40{suffix}" in warning
    assert "0x" not in warning  # no Python object
    with pytest.raises(Exception, match=rf"must be readable, got .*40\{suffix}"):
        load_dataset(source, DataOptions(strict=True))


def test_a_damaged_mask_is_skipped_with_its_image(tmp_path: Path) -> None:
    for number in range(100):
        for folder in ("images", "masks"):
            (tmp_path / folder).mkdir(exist_ok=True)
        photo(number).save(tmp_path / "images" / f"{number}.png")
        mask = np.zeros((16, 16), np.uint8)
        mask[: 4 + number % 8] = 1
        Image.fromarray(mask).save(tmp_path / "masks" / f"{number}.png")
    damaged = tmp_path / "masks" / "7.png"
    damaged.write_bytes(flipped(damaged.read_bytes()))
    data = load_dataset(str(tmp_path))
    assert any("1 of 100" in text and "7.png" in text for text in data.warnings)


def test_an_entry_of_a_zip_with_a_wrong_checksum_is_skipped(tmp_path: Path) -> None:
    folder = Path(save_all(tmp_path / "images", ".jpg", lambda content: content))
    archive = tmp_path / "some.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted(folder.rglob("*.jpg")):
            file.write(path, path.relative_to(folder))
        offset = file.getinfo("a/40.jpg").header_offset
    content = bytearray(archive.read_bytes())
    content[offset + 300] ^= 255
    archive.write_bytes(content)
    data = load_dataset(str(archive))
    assert any("1 of 100" in text and "a/40.jpg" in text for text in data.warnings)


def test_floats_that_are_no_numbers_are_skipped(tmp_path: Path) -> None:
    for number in range(100):
        values = np.random.default_rng(number).random((16, 16)).astype(np.float32)
        values[3, 3] = np.nan if number == 40 else 0.5
        path = tmp_path / "ab"[number % 2] / f"{number}.tif"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(values).save(path)
    assert any("40.tif (it holds NaN or infinity)" in text for text in load_dataset(str(tmp_path)).warnings)


def test_more_than_1_percent_are_refused(tmp_path: Path) -> None:
    source = save_all(tmp_path, ".png", flipped)
    other = tmp_path / "b" / "41.png"
    other.write_bytes(flipped(other.read_bytes()))
    assert_refused(source, "99 % of the images must be readable, got 2 of 100 that are not")
