"""The time of a training step with each augmentation against one without.

    python benchmarks/augmentation.py                 writes benchmarks/results/augmentation.{md,json}
    python benchmarks/augmentation.py --json          prints the figures as JSON
    python benchmarks/augmentation.py --no-keep       does not write to benchmarks/results

One process, one thread, as a worker of a search. A small convolutional network (three standard convolutions
of 16, 32 and 64 channels) takes batches of 64 uint8 images. A step is what an epoch repeats: reading the
batch, augmenting it, training on it. The variants take their steps alternately, in changing order; a share is
the median over rounds of the time with an augmentation divided by the time without in the same round, minus
one. The processor time of the process is measured, because it depends less on the load of the machine.

The transform of translation, rotation and zoom is also compared with TensorFlow's operation for it.
"""

from __future__ import annotations

import random
import time
from typing import Any

import numpy as np
from _common import common_parser, conditions, emit, median, table

from nas.architecture import Design
from nas.evaluation.augmentation import apply_changes, augment, sample_changes
from nas.evaluation.trainer import Trainer, without_graph_optimizer
from nas.tensorflow_imports import import_tensorflow

BATCH = 64
VARIANTS: dict[str, dict[str, Any]] = {
    "none": {},
    "flip": {"flip": True},
    "crop": {"crop": 4},
    "translation": {"translation": 0.1},
    "rotation": {"rotation": 0.05},
    "zoom": {"zoom": 0.1},
    "brightness": {"brightness": 0.2},
    "contrast": {"contrast": 0.2},
    "cutout": {"cutout": 0.3},
    "mixup": {"mixup": 0.2},
    "label_smoothing": {"label_smoothing": 0.1},
}
VARIANTS["flip, crop"] = VARIANTS["flip"] | VARIANTS["crop"]
VARIANTS["all"] = {key: value for values in list(VARIANTS.values()) for key, value in values.items()}


def design(size: int, training: dict[str, Any]) -> Design:
    """Return the network for images of a size, with values of its training."""
    stage = {"shrink": "max_pool", "normalization": "between"}
    return Design.from_dict(
        {
            "input_shape": [size, size, 3],
            "classes": 10,
            "stages": [{**stage, "width": width} for width in (16, 32, 64)],
            "training": {"batch_size": BATCH, **training},
        }
    )


class Variant:
    """A trainer of the network with one augmentation."""

    def __init__(self, size: int, training: dict[str, Any]) -> None:
        self.design = design(size, training)
        self.trainer = Trainer(self.design, np.uint8)
        self.trainer.restore(self.trainer.initial_state(0), 0)
        self.rng = np.random.default_rng(0)

    def seconds(self, images: np.ndarray, labels: np.ndarray, steps: int) -> float:
        """Take steps as an epoch does, and return their processor time."""
        order = self.rng.permutation(len(images))
        started = time.process_time()
        for step in range(steps):
            batch = order[np.arange(step * BATCH, (step + 1) * BATCH) % len(order)]
            x, y, mixture = images[batch], labels[batch].astype(np.int32), None
            if self.design.training.changes_inputs:
                x, y, mixture = augment(self.design, x, y, self.rng)
            self.trainer.train_batch(x, y, 0.001, mixture)
        return time.process_time() - started


def measure(size: int, rounds: int, steps: int) -> dict[str, Any]:
    """Return the time of a step without augmentation in ms, and the share that each variant adds."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (4 * BATCH, size, size, 3), dtype=np.uint8)
    labels = rng.integers(0, 10, len(images))
    variants = {name: Variant(size, training) for name, training in VARIANTS.items()}
    order, seconds = list(variants), {name: [] for name in variants}
    with without_graph_optimizer():
        for name in order:
            variants[name].seconds(images, labels, 2)  # traces the step
        shuffle = random.Random(0).shuffle
        for _ in range(rounds):
            shuffle(order)
            for name in order:
                seconds[name].append(variants[name].seconds(images, labels, steps) / steps)
    plain = seconds["none"]
    ratios = {name: [a / b for a, b in zip(each, plain, strict=True)] for name, each in seconds.items()}
    return {
        "size": size,
        "step_ms": median(1e3 * value for value in plain),
        "added_share": {name: round(median(each) - 1, 4) for name, each in ratios.items() if name != "none"},
        "transform": compare_transforms(size, 2 * rounds),
        "seconds": seconds,
    }


def compare_transforms(size: int, rounds: int) -> dict[str, float]:
    """Return the ms in which a batch is rotated and zoomed, here and by TensorFlow, and their ratio."""
    raw = import_tensorflow().raw_ops
    x = np.random.default_rng(0).integers(0, 256, (BATCH, size, size, 3), dtype=np.uint8)
    one = design(size, VARIANTS["rotation"] | VARIANTS["zoom"])
    changes = sample_changes(one, x.shape, np.random.default_rng(0))
    # Its transforms are projective: the last two values are 0 for an affine one.
    transforms = np.hstack([changes.transforms, np.zeros((BATCH, 2), np.float32)])

    def by_tensorflow() -> Any:
        return raw.ImageProjectiveTransformV3(
            images=x, transforms=transforms, output_shape=[size, size], fill_value=0.0,
            interpolation="BILINEAR", fill_mode="REFLECT",
        ).numpy()  # fmt: skip

    moves = {"nas": lambda: apply_changes(x, changes, one.value_range), "tensorflow": by_tensorflow}
    seconds: dict[str, list[float]] = {name: [] for name in moves}
    for _ in range(rounds):
        for name, move in moves.items():
            started = time.process_time()
            move()
            seconds[name].append(time.process_time() - started)
    times = {f"{name}_ms": median(1e3 * value for value in each) for name, each in seconds.items()}
    ratios = (b / a for a, b in zip(seconds["nas"], seconds["tensorflow"], strict=True))
    return {**times, "ratio": median(ratios)}


def text_of(result: dict[str, Any]) -> str:
    """Return the result as Markdown."""
    rows = [
        [name, *(f"{found['added_share'][name]:+.1%}" for found in result["sizes"])]
        for name in result["sizes"][0]["added_share"]
    ]
    steps = " and ".join(f"{found['step_ms']:.3g} ms" for found in result["sizes"])
    transforms = " and ".join(f"{found['transform']['ratio']:.2g} x" for found in result["sizes"])
    heads = [f"{found['size']}x{found['size']}x3" for found in result["sizes"]]
    values = ", ".join(f"`{key}: {value}`".replace("True", "true") for key, value in VARIANTS["all"].items())
    return "\n\n".join(
        (
            "# The cost of augmentation",
            "What an augmentation adds to the processor time of a training step, batches of 64, one thread. "
            f"Steps without augmentation take {steps}. Medians of {result['rounds']} rounds of "
            f"{result['steps']} steps of each variant in changing order.",
            table(["augmentation", *heads], rows),
            f"TensorFlow's operation takes {transforms} the time in which nas rotates and zooms a batch.",
            f"The values: {values}.",
        )
    )


def main() -> None:
    """Parse the options, measure, and print the result."""
    parser = common_parser(__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--steps", type=int, default=5, help="steps of each variant in a round")
    parser.add_argument("--sizes", default="32,96", help="sides of the images in pixels, comma-separated")
    options = parser.parse_args()
    sizes = [int(word) for word in options.sizes.split(",")]
    environment = conditions()
    result = {
        "benchmark": "augmentation",
        "rounds": options.rounds,
        "steps": options.steps,
        "sizes": [measure(size, options.rounds, options.steps) for size in sizes],
        "conditions": environment,
    }
    emit("augmentation", result, text_of(result), options.json, not options.no_keep)


if __name__ == "__main__":
    main()
