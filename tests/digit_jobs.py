"""A small design for 8x8 digits, and jobs that train it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nas.architecture import Design
from nas.evaluation import Job


def digit_design(training: dict[str, Any] | None = None, **changes: Any) -> Design:
    data = {
        "input_shape": [8, 8, 1],
        "classes": 10,
        "stem": {"width": 6, "normalization": "between", "bias": False},
        "stages": [
            {"width": 8, "conv": "separable", "convs": 2, "normalization": "before", "residual": "projection",
             "shrink": "max_pool", "pool_size": 3},
            {"width": 10, "conv": "standard", "normalization": "after", "activation": "silu"},
        ],
        "training": {"batch_size": 64, **(training or {})},
    }  # fmt: skip
    return Design.from_dict({**data, **changes})


def digit_job(folder: Path, dataset: Path, design: Design, **options: Any) -> Job:
    """Create a job of two epochs with seed 3."""
    options = {"epochs": 2, "full_epochs": 4, "seed": 3, **options}
    return Job(design, dataset, folder=folder, **options)
