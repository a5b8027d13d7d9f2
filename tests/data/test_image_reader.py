"""Pixels of images: orientation, transparency, depth, pages and colour modes."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from data_files import assert_refused, shared_case, some_pixels
from PIL import Image

from nas.data import DataOptions, Dataset, load_dataset


def save_classes(
    folder: Path, make: Callable[[int], Image.Image], suffix: str = ".png", **save: object
) -> str:
    """Save 5 images each of two classes, and return the folder."""
    for number in range(10):
        path = folder / "ab"[number % 2] / f"{number}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        make(number).save(path, **save)  # type: ignore[arg-type]
    return str(folder)


def all_images(data: Dataset) -> np.ndarray:
    assert data.test is not None
    return np.concatenate([split.x for split in (data.train, data.validation, data.test)])


def assert_holds(data: Dataset, expected: list[np.ndarray], tolerance: int = 0) -> None:
    """Check that the data set holds these images (height, width, channels) in some order."""
    found = all_images(data).astype(int)
    assert found.shape == (len(expected), *expected[0].shape)
    for image in expected:
        assert np.abs(found - image).max(axis=(1, 2, 3)).min() <= tolerance


def turned(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Return pixels as they are stored, so that this EXIF orientation turns them back."""
    back = {
        2: lambda a: a[:, ::-1], 3: lambda a: a[::-1, ::-1], 4: lambda a: a[::-1],
        5: lambda a: a.swapaxes(0, 1), 6: lambda a: np.rot90(a, 1), 7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
        8: lambda a: np.rot90(a, -1),
    }  # fmt: skip
    return np.ascontiguousarray(back[orientation](pixels))


def exif(orientation: int) -> Image.Exif:
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags


@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp", ".jpg"])
def test_every_exif_orientation_is_applied(tmp_path: Path, suffix: str) -> None:
    upright = [some_pixels(5, 9, 3, seed=number).repeat(8, 0).repeat(8, 1) for number in range(10)]
    for number, pixels in enumerate(upright):
        orientation = 2 + number % 7
        path = tmp_path / "ab"[number % 2] / f"{number}{suffix}"
        path.parent.mkdir(exist_ok=True)
        options = {"quality": 95, "subsampling": 0} if suffix == ".jpg" else {"lossless": True}
        Image.fromarray(turned(pixels, orientation)).save(path, exif=exif(orientation), **options)
    data = load_dataset(str(tmp_path))
    assert data.shape == (40, 72, 3)
    assert_holds(data, upright, tolerance=40 if suffix == ".jpg" else 0)
    assert data.notes == ("10 of 10 images are turned upright, by their EXIF orientation.",)


def test_damaged_exif_is_no_orientation(tmp_path: Path) -> None:
    pixels = [some_pixels(8, 8, 3, seed=number) for number in range(10)]
    source = save_classes(
        tmp_path, lambda number: Image.fromarray(pixels[number]), exif=b"Exif\0\0II*\0\xff\xff"
    )
    assert_holds(load_dataset(source), pixels)


def save_photo_with_mask(folder: Path, upright: np.ndarray, mask: np.ndarray) -> str:
    for number in range(6):
        for kind in ("images", "masks"):
            (folder / kind).mkdir(parents=True, exist_ok=True)
        photo = Image.fromarray(turned(upright, 6))
        photo.save(folder / "images" / f"{number}.jpg", exif=exif(6), quality=95)
        Image.fromarray(mask).save(folder / "masks" / f"{number}.png")
    return str(folder)


def test_a_mask_fits_the_upright_photo_and_other_sizes_are_refused(tmp_path: Path) -> None:
    mask = np.zeros((24, 40), np.uint8)
    mask[2:9, 3:30] = 1
    upright = np.repeat(mask[..., None] * np.uint8(200), 3, axis=-1)
    data = load_dataset(save_photo_with_mask(tmp_path / "viewer", upright, mask))
    assert data.shape == (24, 40, 3)
    for x, y in zip(data.train.x, data.train.y, strict=True):
        assert ((x[..., 0] > 100) == (y == 1)).mean() > 0.99
    assert not any("EXIF" in warning for warning in data.warnings)
    stored = save_photo_with_mask(tmp_path / "stored", upright, turned(mask, 6))
    assert_refused(stored, "got 40x24 in .*0.jpg and 24x40 in .*0.png; .*EXIF orientation 6 but not the mask")
    other = save_photo_with_mask(tmp_path / "other", upright, mask[:10])
    assert_refused(other, "got 40x24 in .*0.jpg and 40x10 in .*0.png; save the mask again in")
    square = load_dataset(save_photo_with_mask(tmp_path / "square", upright[:, :24], mask[:, :24]))
    assert square.warnings[-1].startswith("6 images are turned by their EXIF orientation to the same size")


@pytest.mark.parametrize(
    ("mode", "background", "expected"),
    [("RGBA", "white", 255), ("RGBA", "#204060", (32, 64, 96)), ("LA", "white", 255), ("P", "white", 255)],
)
def test_transparent_pixels_have_the_background(
    tmp_path: Path, mode: str, background: str, expected: int | tuple[int, int, int]
) -> None:
    visible = [some_pixels(6, 8, seed=number) > 127 for number in range(10)]

    def icon(number: int) -> Image.Image:
        alpha = Image.fromarray(visible[number].astype(np.uint8) * 255)
        black = Image.new("RGB" if mode == "RGBA" else "L", alpha.size)
        if mode == "P":
            image = Image.frombytes("P", alpha.size, visible[number].astype(np.uint8).tobytes())
            image.putpalette([0, 0, 0, 0, 0, 0])
            image.info["transparency"] = 0
            return image
        black.putalpha(alpha)
        return black

    data = load_dataset(save_classes(tmp_path, icon), DataOptions(background=background))
    channels = 1 if mode == "LA" else 3
    images = [np.where(shown[..., None], 0, np.full(channels, expected)) for shown in visible]
    assert_holds(data, images)
    assert data.feeding.background == background
    assert data.notes == (f"10 of 10 images may be transparent; the colour below them is {background}.",)


def test_opaque_images_record_no_background(tmp_path: Path) -> None:
    source = save_classes(tmp_path, lambda number: Image.fromarray(some_pixels(5, 5, seed=number)))
    data = load_dataset(source)
    assert (data.feeding.background, data.notes, data.warnings) == ("", (), ())
    assert data.feeding.value_range == (0, 255)


@pytest.mark.parametrize(
    ("suffix", "dtype", "low", "high"),
    [
        (".png", np.uint16, 0, 4095), (".png", np.uint16, 100, 1023), (".tif", np.uint16, 0, 4095),
        (".tif", ">u2", 0, 4095), (".tif", np.int32, -1000, 3000), (".tif", np.float32, 0.0, 1.0),
    ],
)  # fmt: skip
def test_values_of_more_than_8_bits_are_scaled_by_their_range(
    tmp_path: Path, suffix: str, dtype: object, low: float, high: float
) -> None:
    shares = [np.random.default_rng(number).random((6, 7)) for number in range(10)]
    shares[0][0, 0], shares[1][0, 0] = 0, 1
    values = [(low + share * (high - low)).astype(np.dtype(dtype)) for share in shares]

    def image(number: int) -> Image.Image:
        if np.dtype(dtype) == ">u2":
            return Image.frombytes("I;16B", (7, 6), values[number].tobytes())
        return Image.fromarray(values[number])

    data = load_dataset(save_classes(tmp_path, image, suffix))
    assert_holds(data, [np.rint(255 * share)[..., None] for share in shares], tolerance=1)
    assert data.feeding.value_range == (low, high)
    assert data.feeding.rescale
    assert data.notes == (f"Images have more than 8 bits: their values {low:g}..{high:g} become 0..255.",)


def test_floats_that_are_no_numbers_are_refused_by_name(tmp_path: Path) -> None:
    values = np.zeros((4, 4), np.float32)
    values[0, 0] = np.nan
    source = save_classes(tmp_path, lambda _: Image.fromarray(np.eye(4, dtype=np.float32)), ".tif")
    Image.fromarray(values).save(tmp_path / "a" / "0.tif")
    assert_refused(source, "must be readable, got .*a/0.tif, which is not .it holds NaN")


def png_of_16_bit_colours(values: np.ndarray) -> bytes:
    """Return a PNG of RGB values (height, width, 3) uint16, which Pillow cannot write."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width, _ = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def test_16_bit_colours_keep_their_upper_bits_and_must_use_them(tmp_path: Path) -> None:
    values = [some_pixels(4, 4, 3, seed=number) for number in range(10)]
    for number, value in enumerate(values):
        for bits, folder in ((16, "full"), (12, "few")):
            path = tmp_path / folder / "ab"[number % 2] / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(png_of_16_bit_colours(value.astype(np.uint16) << (bits - 8)))
    data = load_dataset(str(tmp_path / "full"))
    assert_holds(data, values)
    assert data.notes == ("10 of 10 images have 16 bits a colour; 8 are read.",)
    assert_refused(str(tmp_path / "few"), "16 bits must use the whole range.* got fewer bits in .*png")


def test_stacks_are_refused_and_animations_are_doubtful(tmp_path: Path) -> None:
    pages = [Image.fromarray(some_pixels(5, 5, seed=number)) for number in range(3)]
    gif = save_classes(tmp_path / "gif", lambda _: pages[0], ".gif", save_all=True, append_images=pages[1:])
    data = load_dataset(gif)
    assert data.warnings[-1] == (
        f"10 of 10 images have several pages or frames, of which the first is read, such as {gif}/a/0.gif."
    )
    stack = save_classes(tmp_path / "tif", lambda _: pages[0], ".tif", save_all=True, append_images=pages[1:])
    assert_refused(stack, "one page, got a stack of several in .*a/0.tif; save each page as a file")
    small = pages[1].resize((2, 2))
    preview = save_classes(
        tmp_path / "preview", lambda _: pages[0], ".tif", save_all=True, append_images=[small]
    )
    assert "several pages" in load_dataset(preview).warnings[-1]


@pytest.mark.parametrize(
    ("mode", "suffix", "tolerance"),
    [("1", ".png", 0), ("L", ".bmp", 0), ("P", ".gif", 0), ("CMYK", ".tif", 2), ("CMYK", ".jpg", 30),
     ("YCbCr", ".tif", 4), ("LAB", ".tif", 25), ("PA", ".tif", 0), ("LA", ".tif", 0)],
)  # fmt: skip
def test_every_mode_has_the_colours_that_a_viewer_shows(
    tmp_path: Path, mode: str, suffix: str, tolerance: int
) -> None:
    from PIL import ImageCms

    shown = []

    def image(number: int) -> Image.Image:
        coarse = Image.fromarray(some_pixels(2, 2, 3, seed=number))
        colours = coarse.resize((16, 16), Image.Resampling.NEAREST)
        if mode == "LAB":
            srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
            made = ImageCms.profileToProfile(colours, srgb, lab, outputMode="LAB")
            assert made is not None
        elif mode == "PA":
            made = colours.quantize(8).convert("PA")
        else:
            made = colours.quantize(8) if mode == "P" else colours.convert(mode)
        grey = mode in ("1", "L", "LA")
        pixels = np.asarray(made.convert("L") if grey else colours)
        shown.append(pixels[..., None] if grey else pixels)
        return made

    data = load_dataset(save_classes(tmp_path, image, suffix))
    assert_holds(data, shown, tolerance)


def test_images_without_contrast_are_doubtful(tmp_path: Path) -> None:
    flat = save_classes(tmp_path / "flat", lambda number: Image.new("L", (6, 6), number))
    (warning,) = load_dataset(flat).warnings
    assert warning.startswith("100% of 6 sampled images have almost no contrast")
    dark = save_classes(
        tmp_path / "dark", lambda number: Image.fromarray(some_pixels(6, 6, seed=number) // 16)
    )
    (warning,) = load_dataset(dark).warnings
    assert warning == "6 sampled images have values of 0 to 15 only, of 0 to 255: are they read right?"


def test_large_photos_are_decoded_at_a_part_of_their_size_like_in_full(tmp_path: Path) -> None:
    smooth = [Image.fromarray(some_pixels(6, 8, 3, seed=number)).resize((640, 480)) for number in range(10)]
    source = save_classes(tmp_path, smooth.__getitem__, ".jpg", quality=95)
    data = load_dataset(source, DataOptions(image_size=32))
    expected = [np.asarray(image.resize((32, 32), Image.Resampling.BILINEAR)) for image in smooth]
    assert_holds(data, expected, tolerance=12)


def test_an_image_of_too_many_pixels_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = save_classes(tmp_path, lambda number: Image.new("L", (64, 64), number))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    assert_refused(source, "images must be readable, got 10 of 10 that are not, .*decompression bomb")


def test_case_exif_orientation() -> None:
    data = load_dataset(shared_case("exif_orientation"))
    stripes = {"rows": 0, "columns": 1}
    right = 0
    for image, label in zip(data.train.x[..., 0].astype(float), data.train.y, strict=True):
        across = np.abs(np.diff(image, axis=0)).mean(), np.abs(np.diff(image, axis=1)).mean()
        right += int(np.argmin(across)) == 1 - stripes[data.classes[label]]
    assert right == len(data.train)


def test_case_png16_holding_12_bits() -> None:
    data = load_dataset(shared_case("png16_holding_12_bits"))
    assert data.feeding.value_range[1] <= 4095
    assert np.median(data.train.x.std(axis=(1, 2, 3))) > 20
    assert not data.warnings


def test_case_rgba_black_on_transparent() -> None:
    data = load_dataset(shared_case("rgba_black_on_transparent"))
    assert np.median(data.train.x.std(axis=(1, 2, 3))) > 20
    assert data.feeding.background == "white"


def test_case_masks_0_128_255() -> None:
    data = load_dataset(shared_case("masks_0_128_255"))
    assert (data.classes, data.ignore_label) == (("0", "128", "255"), None)


def test_case_palette_masks_own_palette() -> None:
    data = load_dataset(shared_case("palette_masks_own_palette"))
    assert data.classes == ("#000000", "#ff0000")
    assert data.ignore_label is None
    path = sorted(Path(data.source, "masks").glob("*.png"))[0]
    red = np.asarray(Image.open(path).convert("RGB"))[..., 0] == 255
    assert any((mask == red).all() for split in (data.train, data.validation, data.test) for mask in split.y)
