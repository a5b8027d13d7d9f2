"""Reading a folder of JPEGs: images a second and peak memory of nas, Keras' loader and plain Pillow.

    python benchmarks/data.py                         writes benchmarks/results/data.{md,json}
    python benchmarks/data.py --large 200000          also reads 200,000 images of 64x48 with nas
    python benchmarks/data.py --json                  prints the figures as JSON
    python benchmarks/data.py --no-write              does not write to benchmarks/results

Generates photos of 256x192 (smooth colours and noise) in a temporary folder of ten classes. Each contender
reads all of them, resized to 64x64, in a process of its own, in turn, with the files in the system's file
cache; imports are not timed:

- nas: `load_dataset` into an empty cache, with all cores, on disk at the end;
- nas from the cache: the same call again;
- Keras: `image_dataset_from_directory` in batches of 64, iterated once; nothing is kept;
- Pillow: open, convert to RGB, resize, in one thread; nothing is kept.

Peak memory is the greatest resident size of the process. That of a process that imports the libraries and
reads nothing is listed too.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from _common import conditions, emit, table

SIZE = (256, 192)
SMALL = (64, 48)
SIDE = 64
CLASSES = 10
DIFFERENT = 500  # photos; the others are copies of them under other names


def generate(folder: Path, count: int, size: tuple[int, int]) -> float:
    """Write JPEGs in a folder for each class, and return their mean size in bytes."""
    from PIL import Image

    rng = np.random.default_rng(0)
    contents = []
    for _ in range(min(DIFFERENT, count)):
        coarse = Image.fromarray(rng.integers(0, 256, (6, 8, 3), np.uint8)).resize(size)
        noise = rng.normal(0, 8, (size[1], size[0], 3))
        image = Image.fromarray((np.asarray(coarse) + noise).clip(0, 255).astype(np.uint8))
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=85)
        contents.append(buffer.getvalue())
    for label in range(CLASSES):
        (folder / f"class_{label}").mkdir(parents=True)
    for number in range(count):
        # decoders ignore what follows the image, and so no two files are equal
        content = contents[number % len(contents)] + number.to_bytes(4, "little")
        (folder / f"class_{number % CLASSES}" / f"{number:06}.jpg").write_bytes(content)
    return float(np.mean([len(content) for content in contents]))


def read_with_nas(folder: Path, images: int) -> Callable[[], int]:
    from nas.data import DataOptions, load_dataset

    def read() -> int:
        data = load_dataset(str(folder), DataOptions(image_size=SIDE))
        assert data.test is not None
        return len(data.train) + len(data.validation) + len(data.test)

    del images
    return read


def read_with_keras(folder: Path, images: int) -> Callable[[], int]:
    import keras

    def read() -> int:
        data = keras.utils.image_dataset_from_directory(
            folder, image_size=(SIDE, SIDE), batch_size=64, shuffle=False, verbose=False
        )
        return sum(len(x) for x, _ in data)

    del images
    return read


def read_with_pillow(folder: Path, images: int) -> Callable[[], int]:
    from PIL import Image

    def read() -> int:
        count = 0
        for file in sorted(folder.rglob("*.jpg")):
            with Image.open(file) as image:
                pixels = image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BILINEAR)
                count += np.asarray(pixels).shape[0] == SIDE
        return count

    del images
    return read


def read_nothing(folder: Path, images: int) -> Callable[[], int]:
    import nas.data

    del folder
    assert nas.data
    return lambda: images


CONTENDERS = {
    "nas": read_with_nas,
    "nas from the cache": read_with_nas,
    "Keras": read_with_keras,
    "Pillow": read_with_pillow,
    "imports of nas": read_nothing,
}


def measure(contender: str, folder: Path, images: int) -> dict[str, float]:
    """Read the images in this process."""
    read = CONTENDERS[contender](folder, images)
    start, processor = time.perf_counter(), time.process_time()
    found = read()
    seconds = time.perf_counter() - start
    if found != images:
        raise RuntimeError(f"{contender} must read {images} images, got {found}; see what it left out")
    return {
        "seconds": seconds,
        "processor_seconds": time.process_time() - processor,
        "images_a_second": images / seconds,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def measure_all(
    names: Sequence[str], images: int, size: tuple[int, int], parent: Path | None
) -> dict[str, Any]:
    """Generate images, and read them with each contender in a process of its own."""
    rows = {}
    with tempfile.TemporaryDirectory(dir=parent) as scratch:
        folder = Path(scratch) / "photos"
        mean_bytes = generate(folder, images, size)
        environment = {
            **os.environ, "NAS_CACHE": str(Path(scratch) / "cache"),
            "TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow",
        }  # fmt: skip
        for contender in names:
            command = [sys.executable, __file__, "--contender", contender]
            command += ["--folder", str(folder), "--images", str(images)]
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
            if done.returncode:
                raise RuntimeError(f"contender {contender} failed:\n{done.stderr[-2000:]}")
            rows[contender] = json.loads(done.stdout.splitlines()[-1])
    return {"images": images, "bytes": mean_bytes, "rows": rows}


def run(images: int, large: int, parent: Path | None) -> dict[str, Any]:
    result = measure_all(list(CONTENDERS), images, SIZE, parent)
    if large:
        result["large"] = measure_all(["nas", "nas from the cache"], large, SMALL, parent)
    return result


def text(result: dict[str, Any]) -> str:
    rows = [
        [name, f"{row['seconds']:,.2f}", f"{row['images_a_second']:,.0f}", f"{row['processor_seconds']:,.1f}",
         f"{row['peak_mb']:,.0f} MiB"]
        for name, row in result["rows"].items() if name != "imports of nas"
    ]  # fmt: skip
    ours, keras, pillow = (result["rows"][name]["images_a_second"] for name in ("nas", "Keras", "Pillow"))
    imports = result["rows"]["imports of nas"]["peak_mb"]
    more = ""
    if large := result.get("large"):
        first, second = (large["rows"][name] for name in ("nas", "nas from the cache"))
        more = (
            f"\n\n{large['images']:,} JPEGs of {SMALL[0]}x{SMALL[1]}: nas reads "
            f"{first['images_a_second']:,.0f} a second with a peak memory of {first['peak_mb']:,.0f} MiB; "
            f"from\nthe cache it opens them in {second['seconds']:.2f} s."
        )
    return (
        "# Reading a folder of JPEGs\n\n"
        f"{result['images']:,} JPEGs of {SIZE[0]}x{SIZE[1]} ({result['bytes'] / 1e3:.0f} kB), resized to "
        f"{SIDE}x{SIDE}. nas decodes into files in its cache, which a second\nsearch opens; the others keep "
        "nothing. All files are in the system's file cache.\n\n"
        + table(["reader", "seconds", "images a second", "processor seconds", "peak memory"], rows)
        + f"\n\nnas reads {ours / keras:.2f} times the images of `keras.utils.image_dataset_from_directory` "
        f"a second, and {ours / pillow:.2f} times those of Pillow in one thread.\n"
        f"A process that imports nas.data alone has {imports:,.0f} MiB. Created by "
        "`python benchmarks/data.py`." + more
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--large", type=int, default=0, help="also read so many small images with nas")
    parser.add_argument("--scratch", type=Path, help="folder for the photos and the cache, on a local disk")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--no-write", action="store_true", help="do not write to benchmarks/results")
    parser.add_argument("--contender", choices=list(CONTENDERS), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.contender:
        print(json.dumps(measure(options.contender, options.folder, options.images)))
        return
    environment = conditions()
    result = {"conditions": environment, **run(options.images, options.large, options.scratch)}
    emit("data", result, text(result), options.json, not options.no_write)


if __name__ == "__main__":
    main()
