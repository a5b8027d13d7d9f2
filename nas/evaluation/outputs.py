"""The answers to a split from outputs: those of an exported file, and of any model file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from typing import assert_never

import numpy as np

from nas.architecture import Architecture
from nas.backends import (
    CALIBRATION_IMAGES,
    Precision,
    Run,
    TargetScale,
    load_litert,
    trained_litert_bytes,
)
from nas.data import Dataset, Split
from nas.errors import ConversionError, EvaluationError, InputError
from nas.evaluation.label_metrics import LabelAnswers
from nas.evaluation.metrics import Answers, PixelAnswers, confusion_matrix
from nas.evaluation.number_metrics import NumberAnswers

__all__ = ["AnyAnswers", "answer_with", "judge_outputs", "load_as_file", "quality_values"]

AnyAnswers = Answers | PixelAnswers | LabelAnswers | NumberAnswers
"""The answers to a split, by task."""

LEAST = 1e-7
"""Least probability in a loss, as in Keras: integers round small ones to 0."""

BATCH = 64


def quality_values(answers: AnyAnswers) -> dict[str, float]:
    """Return the qualities on the validation split, each followed by its standard error, `<name>_se`."""
    errors = answers.standard_errors()
    values: dict[str, float] = {}
    for name, value in answers.metrics().items():
        key = "val_loss" if name == "loss" else name
        values |= {key: value, f"{key}_se": errors[name]}
    return values


def load_as_file(
    architecture: Architecture, weights: Sequence[np.ndarray], precision: Precision, dataset: Dataset
) -> Run:
    """Return what runs the LiteRT file that an export of a network writes.

    int8 is calibrated on training examples of the data. Raises EvaluationError if LiteRT cannot express it.
    """
    calibration = np.asarray(dataset.train.x[:CALIBRATION_IMAGES])
    try:
        return load_litert(trained_litert_bytes(architecture, weights, precision, calibration))
    except ConversionError as error:
        raise EvaluationError(str(error)) from error


def answer_with(
    run: Callable[[np.ndarray], np.ndarray], task: str, dataset: Dataset, split: Split
) -> AnyAnswers:
    """Return the answers to a split of what returns a network's outputs, by the task of the network.

    They are those of `Evaluator.answer_split` where the outputs are those of the trained network.
    """
    starts = range(0, len(split), BATCH)
    if task == "segmentation":
        parts = [
            _pixel_batch(
                run(split.x[start : start + BATCH]), np.asarray(split.y[start : start + BATCH]), dataset
            )
            for start in starts
        ]
        names = [field.name for field in fields(PixelAnswers)]
        return PixelAnswers(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))
    outputs = np.concatenate([run(split.x[start : start + BATCH]) for start in starts])
    truth = np.asarray(split.y)
    if task == "regression":
        scale = TargetScale.of(dataset.train.y)
        errors = (outputs - truth) / np.array(scale.deviations)
        return NumberAnswers(truth, outputs, (errors**2).mean(axis=1))
    if task == "multi_label":
        chosen = np.where(truth == 1, outputs, 1 - outputs)
        return LabelAnswers(truth, _logits(outputs), _losses(chosen).mean(axis=1))
    if task == "binary":
        second = outputs.reshape(-1)
        return Answers(
            truth, (second > 0.5).astype(np.int32), _losses(np.where(truth == 1, second, 1 - second)),
            _logits(second), 2,
        )  # fmt: skip
    classes = outputs.shape[-1]
    scores = _logits(outputs[:, 1] / np.maximum(outputs.sum(axis=1), LEAST)) if classes == 2 else None
    losses = _losses(outputs[np.arange(len(truth)), truth])
    return Answers(truth, outputs.argmax(axis=-1).astype(np.int32), losses, scores, classes)


def _losses(probabilities: np.ndarray) -> np.ndarray:
    return np.asarray(-np.log(np.clip(probabilities, LEAST, 1.0)))


def _logits(probabilities: np.ndarray) -> np.ndarray:
    clipped = np.clip(probabilities.astype(float), LEAST, 1 - LEAST)
    return np.asarray(np.log(clipped) - np.log1p(-clipped))


def _pixel_batch(outputs: np.ndarray, truth: np.ndarray, dataset: Dataset) -> PixelAnswers:
    counted = np.full(truth.shape, True) if dataset.ignore_label is None else truth != dataset.ignore_label
    labels = np.where(counted, truth, 0).astype(np.int64)
    losses = _losses(np.take_along_axis(outputs, labels[..., None], axis=-1)[..., 0]) * counted
    answers = _pixel_answers(_classes(outputs), truth, dataset)
    return replace(answers, losses=losses.reshape(len(truth), -1).sum(axis=1))


def judge_outputs(outputs: np.ndarray, dataset: Dataset, split: Split) -> dict[str, float]:
    """Return the qualities of outputs (n, ...), float32, for the examples of a split, with `<name>_se`.

    Without the loss, which logits and probabilities do not have in common. Values in 0..1 are taken as
    probabilities, others as logits, where a threshold matters: for two classes by one output, and for
    several labels. Raises InputError if the number of outputs is not that of the data.
    """
    values = quality_values(_answers(outputs, dataset, split))
    return {name: value for name, value in values.items() if not name.startswith("val_loss")}


def _answers(outputs: np.ndarray, dataset: Dataset, split: Split) -> AnyAnswers:
    truth, classes = np.asarray(split.y), len(dataset.classes)
    no_losses = np.zeros(len(outputs), np.float32)
    is_single = outputs.shape[-1] == 1 and classes == 2
    if outputs.shape[-1] != classes and not (
        is_single and dataset.task in ("classification", "segmentation")
    ):
        raise InputError(
            f"a network must have an output for each of the {dataset.outputs}, got {outputs.shape[-1]}; "
            "give data with these outputs"
        )
    match dataset.task:
        case "classification":
            _require_shape(outputs, (len(truth), outputs.shape[-1]))
            return Answers(truth, _classes(outputs), no_losses, _scores(outputs), classes)
        case "multi_label":
            _require_shape(outputs, truth.shape)
            return LabelAnswers(truth, _margins(outputs), no_losses)
        case "regression":
            _require_shape(outputs, truth.shape)
            return NumberAnswers(truth, outputs, no_losses)
        case "segmentation":
            _require_shape(outputs, (*truth.shape, outputs.shape[-1]))
            return _pixel_answers(_classes(outputs), truth, dataset)
        case _:
            assert_never(dataset.task)  # type: ignore[arg-type]  # the field is a str


def _require_shape(outputs: np.ndarray, shape: tuple[int, ...]) -> None:
    if outputs.shape != shape:
        raise InputError(
            f"outputs must have the shape {list(shape[1:])} for this data, got {list(outputs.shape[1:])}; "
            "give data of the network's task"
        )


def _classes(outputs: np.ndarray) -> np.ndarray:
    """Return the classes with the greatest output; of two by one output, the second from the threshold on."""
    if outputs.shape[-1] == 1:
        return np.asarray(_margins(outputs)[..., 0] > 0, np.int32)
    chosen: np.ndarray = outputs.argmax(axis=-1)
    return chosen.astype(np.int32)


def _scores(outputs: np.ndarray) -> np.ndarray | None:
    """Return scores that are greater for the second of two classes; None for more."""
    if outputs.shape[-1] > 2:
        return None
    return np.asarray(outputs[:, -1] - (outputs[:, 0] if outputs.shape[-1] == 2 else 0.0))


def _margins(outputs: np.ndarray) -> np.ndarray:
    """Return the outputs, from which 0.5 is subtracted if they are probabilities."""
    is_probability = outputs.min() >= 0 and outputs.max() <= 1
    return np.asarray(outputs - 0.5 if is_probability else outputs)


def _pixel_answers(predicted: np.ndarray, truth: np.ndarray, dataset: Dataset) -> PixelAnswers:
    classes = len(dataset.classes)
    intersections, unions = np.zeros((2, len(truth), classes), np.int64)
    for index, (found, true) in enumerate(zip(predicted, truth, strict=True)):
        counted = np.ones(true.shape, bool) if dataset.ignore_label is None else true != dataset.ignore_label
        confusion = confusion_matrix(true[counted], found[counted], classes)
        intersections[index] = np.diag(confusion)
        unions[index] = confusion.sum(axis=0) + confusion.sum(axis=1) - np.diag(confusion)
    counted_pixels = (unions.sum(axis=1) + intersections.sum(axis=1)) // 2
    correct = intersections.sum(axis=1)
    return PixelAnswers(np.zeros(len(truth)), correct, counted_pixels, intersections, unions)
