"""What was understood of a data set, for people and programs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from nas.data import Dataset, Split
from nas.evaluation import constant_qualities

__all__ = ["data_lines", "describe_data"]

FREQUENT = 0.9
"""Share of the largest class from which on a warning states the accuracy of a constant prediction."""

FEW = 50
"""Number of validation examples below which a warning states their standard error."""

SAMPLE = 2_000
"""Training examples whose values are inspected."""

SHOWN = 12
"""Greatest number of classes that are listed in text."""

TASKS = {
    "classification": "classification of {} classes",
    "multi_label": "{} labels, any number of them for an example",
    "regression": "regression, {} to predict for each example",
    "segmentation": "segmentation into {} labels",
}


def describe_data(dataset: Dataset) -> dict[str, Any]:
    """Return what was understood as JSON data.

    `counts` has for each split the number of examples of each class, of pixels for segmentation; `numbers`
    has for each split the least, mean and greatest value of each number (regression); `range` is that of at
    most 2,000 training examples; `constant_answer` has the qualities that an answer reaches on the validation
    split without looking. Every doubt is a sentence in `warnings`.
    """
    splits = {"train": dataset.train, "validation": dataset.validation, "test": dataset.test}
    present = {name: split for name, split in splits.items() if split is not None}
    sample = np.asarray(dataset.train.x[:SAMPLE])
    description: dict[str, Any] = {
        "name": dataset.name,
        "source": dataset.source,
        "task": dataset.task,
        "classes": list(dataset.classes),
        "examples": {name: len(split) for name, split in present.items()},
        "shape": list(dataset.shape),
        "dtype": str(sample.dtype),
        "range": [float(sample.min()), float(sample.max())],
        "rescale": dataset.rescale,
        "ignore_label": dataset.ignore_label,
    }
    if dataset.task == "regression":
        description["numbers"] = {name: _numbers(dataset, split) for name, split in present.items()}
    else:
        description["counts"] = {
            name: dict(zip(dataset.classes, dataset.count_classes(split).tolist(), strict=True))
            for name, split in present.items()
        }
    description["constant_answer"] = constant_qualities(dataset)
    description["input"], description["output"] = (
        dataset.signature.input_text(),
        dataset.signature.output_text(),
    )
    description["fingerprint"] = dataset.fingerprint
    description["notes"] = list(dataset.notes)
    description["warnings"] = [*dataset.warnings, *_warnings(dataset)]
    return description


def data_lines(dataset: Dataset) -> list[str]:
    """Return what was understood as a few lines of text."""
    description = describe_data(dataset)
    low, high = description["range"]
    shape = "x".join(map(str, dataset.shape))
    sizes = ", ".join(f"{count:,} {name}" for name, count in description["examples"].items())
    count = len(dataset.classes)
    numbers = "1 number" if count == 1 else f"{count} numbers"
    task = TASKS[dataset.task].format(numbers if dataset.task == "regression" else count)
    lines = [
        f"Data {dataset.name}: {task}",
        f"  examples    {sizes}, each {shape} of {description['dtype']}, values {low:g} to {high:g}",
        f"  {_heading(dataset.task)}{_classes(description)}, in the training split",
    ]
    lines += [f"  inferred    {note}" for note in description["notes"]]
    return lines + [f"  warning     {warning}" for warning in description["warnings"]]


def _heading(task: str) -> str:
    return {"regression": "numbers     ", "segmentation": "labels      "}.get(task, "classes     ")


def _numbers(dataset: Dataset, split: Split) -> dict[str, dict[str, float]]:
    values = np.asarray(split.y, np.float64).reshape(len(split), -1)
    return {
        name: {"least": float(column.min()), "mean": float(column.mean()), "greatest": float(column.max())}
        for name, column in zip(dataset.classes, values.T, strict=True)
    }


def _classes(description: Mapping[str, Any]) -> str:
    """Return the names with their number of training examples, of pixels as shares, or their ranges."""
    if description["task"] == "regression":
        parts = [
            f"{name}: {value['least']:.4g} to {value['greatest']:.4g}"
            for name, value in description["numbers"]["train"].items()
        ]
    else:
        counts = description["counts"]["train"]
        whole = max(1, sum(counts.values()))
        is_share = description["task"] == "segmentation"
        parts = [
            f"{name}: {count / whole:.1%}" if is_share else f"{name}: {count:,}"
            for name, count in counts.items()
        ]
    return ", ".join(parts if len(parts) <= SHOWN else [*parts[: SHOWN - 2], "...", parts[-1]])


def _warnings(dataset: Dataset) -> list[str]:
    """Return what may mislead although it was understood."""
    found = []
    examples = len(dataset.validation)
    if examples < FEW and dataset.task == "classification":
        found.append(
            f"The validation split has {examples} examples: the standard error of an accuracy of 90% is "
            f"{(0.09 / examples) ** 0.5:.1%}; cross-validation (--folds) validates each example once."
        )
    elif examples < FEW:
        found.append(
            f"The validation split has {examples} examples, so that its figures are rough; cross-validation "
            "(--folds) validates each example once."
        )
    if dataset.task != "classification":
        return found
    counts = dataset.count_classes(dataset.train)
    least, most = int(np.argmin(counts)), int(np.argmax(counts))
    share = counts[most] / counts.sum()
    if dataset.is_imbalanced:
        found.append(
            f"Class {dataset.classes[most]} has {counts[most]:,} training examples, class "
            f"{dataset.classes[least]} only {counts[least]:,}: a constant prediction is {share:.1%} "
            "accurate, so balanced_accuracy is the default quality; training: {class_weight: balanced} "
            "weights the classes in the loss."
        )
    elif share >= FREQUENT:
        found.append(f"A constant prediction is {share:.1%} accurate.")
    return found
