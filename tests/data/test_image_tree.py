"""Which files of a folder are images, and that each is visited once."""

from __future__ import annotations

import errno
import os
import shutil
import socket
from pathlib import Path

import pytest
from data_files import assert_refused, save_class_folders, save_image, some_pixels
from PIL import Image, features

from nas.data import DataOptions, load_dataset
from nas.data.file_formats import image_format
from nas.data.image_tree import MAX_FILE_BYTES, tree_from_folder


def total(source: Path, **options: object) -> int:
    data = load_dataset(str(source), DataOptions.parse(options))
    return sum(len(split) for split in (data.train, data.validation, data.test) if split is not None)


def test_files_are_images_by_their_content(tmp_path: Path) -> None:
    save_class_folders(tmp_path, count=5)
    formats = {
        ".jfif": "JPEG",
        ".JPE": "JPEG",
        ".jp2": "JPEG2000",
        ".tif": "TIFF",
        ".pgm": "PPM",
        ".BMP": "BMP",
    }
    formats |= {".gif": "GIF", ".webp": "WEBP", ".heic": "JPEG", "": "PNG", ".data": "PNG"}
    if features.check("avif"):
        formats[".avif"] = "AVIF"
    for number, (suffix, name) in enumerate(formats.items()):
        for label in ("cat", "dog"):
            path = tmp_path / label / f"more{number}{suffix}"
            Image.fromarray(some_pixels(16, 16, seed=number + 50 * len(label))).save(path, format=name)
    assert total(tmp_path, image_size=8) == 10 + 2 * len(formats)


@pytest.mark.parametrize(
    ("head", "suffix", "expected"),
    [
        (b"BMW is a manufacturer of cars", ".txt", None),
        (b"P5 is a kind of file", "", None),
        (b"II*\0 and values of a sensor", ".nef", None),
        (b"\0\0\0\x18ftypisom\0\0\0\0isommp42", ".mp4", None),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", ".jpg", "HEIF"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1avif", "", "AVIF"),
        (b"RIFF\0\0\0\0WAVE", ".webp", None),
        (b"", ".png", None),
    ],
)
def test_the_start_of_a_file_tells_its_format(head: bytes, suffix: str, expected: str | None) -> None:
    assert image_format(head, suffix) == expected


def test_files_that_are_left_out_are_counted_by_suffix(tmp_path: Path) -> None:
    save_class_folders(tmp_path, count=20)
    for name in ("Thumbs.db", "desktop.ini", ".DS_Store", "._0.png"):
        (tmp_path / "cat" / name).write_text("no image")
    (tmp_path / "__MACOSX" / "cat").mkdir(parents=True)
    assert not load_dataset(str(tmp_path)).notes
    for name in ("a.txt", "b.txt", "c.csv"):
        (tmp_path / "dog" / name).write_text("no image")
    few = load_dataset(str(tmp_path))
    assert few.notes == ("3 files that are not an image left out: 2 .txt, 1 .csv.",)
    for number in range(9):
        (tmp_path / "dog" / f"{number}.xml").write_text("<boxes/>")
    many = load_dataset(str(tmp_path))
    assert any("12 files" in warning and "9 .xml" in warning for warning in many.warnings)


def test_images_that_need_a_package_are_left_out_with_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "nas.data.image_tree.reading_package", lambda name: {"HEIF": "pillow-heif"}.get(name, "")
    )
    save_class_folders(tmp_path)
    for number in range(3):
        (tmp_path / "cat" / f"IMG_{number}.HEIC").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    data = load_dataset(str(tmp_path))
    assert any("3 HEIF images of 13 are left out" in text and "pillow-heif" in text for text in data.warnings)


def test_one_image_that_needs_a_package_is_left_out(tmp_path: Path) -> None:
    head = b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic"
    (tmp_path / "some.heic").write_bytes(head)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nas.data.image_tree.reading_package", lambda name: "pillow-heif")
        (warning,) = tree_from_folder(tmp_path).warnings
    assert warning.startswith("1 HEIF image of 1 is left out, for example ")


def test_heic_photos_are_read_with_pillow_heif(tmp_path: Path) -> None:
    heif = pytest.importorskip("pillow_heif", reason="the extra `images` is not installed")
    save_class_folders(tmp_path, count=4)
    for number in range(4):
        pixels = Image.fromarray(some_pixels(64, 64, 3, seed=number))
        heif.from_pillow(pixels).save(tmp_path / "cat" / f"{number}.heic")
    assert total(tmp_path, image_size=8) == 12


def test_links_that_point_back_do_not_repeat_images(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    save_class_folders(folder / "train")
    save_class_folders(folder / "test", count=2)
    for name, target in (
        ("train/cat/again", folder),
        ("train/dog/up", tmp_path),
        ("test/cat/0", folder / "train/cat"),
    ):
        (folder / name).symlink_to(target, target_is_directory=True)
    (folder / "train/cat/self").symlink_to(folder / "train/cat/self")
    assert total(folder) == 14
    assert len(tree_from_folder(folder).images) == 14
    assert any(
        "(and 2 more) leads to a folder that is read already" in text
        for text in load_dataset(str(folder)).warnings
    )


def test_a_folder_has_its_own_name_although_a_link_to_it_comes_first(tmp_path: Path) -> None:
    save_class_folders(tmp_path)
    (tmp_path / "a_link").symlink_to(tmp_path / "dog")
    assert load_dataset(str(tmp_path)).classes == ("cat", "dog")


def test_links_out_of_the_folder_are_followed_and_named(tmp_path: Path) -> None:
    save_class_folders(tmp_path / "elsewhere", ("cat",))
    save_class_folders(tmp_path / "data", ("dog", "mouse"))
    (tmp_path / "data" / "cat").symlink_to(tmp_path / "elsewhere" / "cat")
    (tmp_path / "data" / "processes").symlink_to("/proc")
    data = load_dataset(str(tmp_path / "data"))
    assert data.classes == ("cat", "dog", "mouse")
    assert any("data/cat leads out of the data set and is followed" in text for text in data.warnings)
    assert any("data/processes leads to a folder" in text for text in data.warnings)


@pytest.mark.timeout(30)
@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs FIFOs")
def test_only_regular_files_are_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_class_folders(tmp_path)
    os.mkfifo(tmp_path / "cat" / "pipe.png")
    (tmp_path / "cat" / "zero.png").symlink_to("/dev/zero")
    monkeypatch.chdir(tmp_path / "dog")  # a socket's path must be short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket.png")
        data = load_dataset(str(tmp_path))
    assert any("(and 2 more) is no regular file" in text for text in data.warnings)
    assert total(tmp_path) == 10


def test_a_folder_without_permission_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_class_folders(tmp_path)
    scandir = os.scandir

    def deny(path: str) -> object:  # permissions do not stop root, who runs tests in containers
        if str(path).endswith("cat"):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return scandir(path)

    monkeypatch.setattr("nas.data.image_tree.os.scandir", deny)
    assert_refused(str(tmp_path), "folders must be readable, got .*cat: Permission denied; change")


def test_an_enormous_file_is_not_read(tmp_path: Path) -> None:
    save_class_folders(tmp_path)
    with open(tmp_path / "cat" / "0.png", "r+b") as file:
        file.truncate(MAX_FILE_BYTES + 1)
    assert_refused(str(tmp_path), "images must be readable, got .*cat/0.png.*more than 268,435,456")


def test_names_that_are_not_unicode_are_read_and_shown(tmp_path: Path) -> None:
    save_class_folders(tmp_path)
    shutil.copy(tmp_path / "cat" / "0.png", os.fsencode(tmp_path) + b"/cat/caf\xe9.png")
    assert total(tmp_path) == 11
    save_image(tmp_path / "dog" / "wide.png", (9, 5))
    (tmp_path / "dog" / "line\nbreak.png").write_bytes(b"")
    assert_refused(str(tmp_path), "line\ufffdbreak.png")


@pytest.mark.parametrize(
    ("good", "bad", "strict"),
    [(30, 1, False), (300, 3, False), (30, 1, True), (28, 1, False), (300, 5, False)],
)
def test_up_to_one_percent_of_unreadable_files_are_skipped(
    tmp_path: Path, good: int, bad: int, strict: bool
) -> None:
    for number in range(good - bad):
        save_image(tmp_path / ("cat" if number % 2 else "dog") / f"{number}.png", seed=number)
    for number, content in zip(
        range(bad), (b"", b"no image", b"<html>404</html>", b"\0" * 99, b"x"), strict=False
    ):
        (tmp_path / "cat" / f"bad{number}.jpg").write_bytes(content)
    if strict or bad > max(good // 100, int(good >= 30)):
        with pytest.raises(
            Exception, match=r"must be readable, got .*bad0\.jpg|99 % of the images .* got 5 of 300"
        ):
            load_dataset(str(tmp_path), DataOptions(strict=strict))
        return
    data = load_dataset(str(tmp_path), DataOptions(strict=strict))
    assert total(tmp_path) == good - bad
    skipped = next(text for text in data.warnings if "skipped" in text)
    assert f"{bad} of {good} images cannot be read" in skipped
    assert all(f"bad{number}.jpg" in skipped for number in range(bad))


@pytest.mark.parametrize("suffix", ["png", "jpg", "gif", "webp", "bmp"])
def test_an_image_whose_end_is_missing_is_unreadable(tmp_path: Path, suffix: str) -> None:
    for number in range(32):
        path = tmp_path / ("cat" if number % 2 else "dog") / f"{number}.{suffix}"
        save_image(path, (40, 40), mode="RGB" if suffix in ("jpg", "webp") else "L", seed=number)
    content = (tmp_path / "cat" / "1.jpg").with_suffix(f".{suffix}").read_bytes()
    (tmp_path / "cat" / f"1.{suffix}").write_bytes(content[: len(content) // 2])
    (tmp_path / "dog" / f"0.{suffix}").write_bytes(
        (tmp_path / "dog" / f"0.{suffix}").read_bytes() + b"\0" * 99
    )
    data = load_dataset(str(tmp_path))
    assert total(tmp_path) == 31, "bytes after the end do no harm"
    assert any(
        f"1 of 32 images cannot be read and are skipped: {tmp_path}/cat/1.{suffix}" in text
        for text in data.warnings
    )
