"""Export the network of a trial: write its files, and compare each with the network that was judged."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from nas.backends import CALIBRATION_IMAGES, build_compiled_model, compute_outputs
from nas.data import Dataset
from nas.errors import ConversionError, DataError
from nas.evaluation import Evaluator, answer_with, quality_values, read_state
from nas.export import (
    CARD,
    CardFacts,
    ExportOptions,
    FileCheck,
    card_text,
    compare_outputs,
    complete_options,
    export_files,
    export_folder,
    file_bytes,
    load_network,
    predict_source,
)
from nas.files import output_file
from nas.report import draw_predictions, write_figures
from nas.searching.plan import Plan
from nas.searching.recorded_data import judged_data
from nas.text import error_line
from nas.trials import Objective, Trial, label, number, with_error

__all__ = ["ExportRequest", "Exported", "export_trial"]

COMPARED_IMAGES = 100
"""Real validation examples on which each file is compared with the network that was judged."""

PREDICT = "predict.py"


@dataclass(frozen=True)
class ExportRequest:
    """What to write for a trial, and where."""

    folder: Path
    options: ExportOptions  # calibration and signature are filled in
    fresh: bool = False  # new weights instead of the trained ones
    force: bool = False  # replace files of another network
    train_further: str = ""  # the command for the card; empty: that of a trial


@dataclass(frozen=True)
class Exported:
    """The files of a network, each compared with the network that was judged."""

    files: Mapping[str, Path]  # by format; `litert.int8` for LiteRT of another precision than float32
    checks: tuple[FileCheck, ...] = ()  # one for each file that runs
    values: Mapping[str, float] = field(default_factory=dict)  # qualities of the network on the validation
    # split, with their standard errors; empty without the data
    compared: str = ""  # a sentence: on what the files were compared, or why they were not
    warnings: tuple[str, ...] = ()  # sentences about files that are worse than the network


def export_trial(name: str, plan: Plan, trial: Trial, checkpoint: Path, request: ExportRequest) -> Exported:
    """Write the files of a trial, its figures, `model_card.md` and `predict.py` to a folder.

    name: of the search. checkpoint: of the trial. Nothing is written if a file of float32 or float16 does not
    answer as the network that was judged. Raises InputError, DataError if int8 lacks its data,
    ConversionError.
    """
    return _Export(name, plan, trial, checkpoint, request).run()


class _Export:
    """One export."""

    def __init__(self, name: str, plan: Plan, trial: Trial, checkpoint: Path, request: ExportRequest) -> None:
        self.plan, self.trial, self.request = plan, trial, request
        self.name, self.checkpoint = f"{name}:{trial.number}", checkpoint
        self.weights = None if request.fresh else list(read_state(checkpoint).weights)
        self.quality: Objective = plan.criteria.qualities[0]
        self.dataset: Dataset | None = None
        try:
            self.dataset = judged_data(plan)
        except DataError:
            if "int8" in request.options.precisions:
                raise

    def run(self) -> Exported:
        """Write the files, and move them to the folder once all are compared."""
        folder, design, origin = self.request.folder, self.trial.design, self._origin()
        options = complete_options(self.request.options, folder, origin)
        options = replace(options, signature=self.plan.signature, calibration=self._calibration())
        with export_folder(folder, origin, self.request.force) as work:
            files = export_files(design, self.weights, work, options)
            values = {} if self.weights is None else self._figures(files, work)
            checks, warnings = [], []
            for key, path in files.items():
                if key.split(".")[0] in ("keras", "python", "litert", "onnx", "saved_model"):
                    checks.append(self._check(key, path, values))
                    warnings += self._worse(checks[-1], values)
            compared = self._compared() if checks else "No network was written as a file."
            exported = Exported(files, tuple(checks), values, compared, tuple(warnings))
            files |= self._describe(exported, origin, work)
            moved = [replace(check, path=folder / check.path.name) for check in checks]
        return replace(
            exported, files={key: folder / path.name for key, path in files.items()}, checks=tuple(moved)
        )

    def _origin(self) -> str:
        digest = hashlib.sha256()
        for array in self.weights or ():
            digest.update(np.ascontiguousarray(array).data)
        return f"{self.name} {'fresh' if self.weights is None else digest.hexdigest()[:16]}"

    def _calibration(self) -> np.ndarray | None:
        return None if self.dataset is None else np.asarray(self.dataset.train.x[:CALIBRATION_IMAGES])

    def _compared(self) -> str:
        if self.weights is None:
            return "The weights are new: nothing was compared."
        if self.dataset is None:
            return (
                f"Nothing was compared: the content of '{self.plan.data}' has changed or cannot be read; "
                "restore it, and export again."
            )
        count = min(COMPARED_IMAGES, len(self.dataset.validation))
        return f"Each file was run on {count} validation examples and compared with the network as validated."

    def _figures(self, files: dict[str, Path], work: Path) -> dict[str, float]:
        """Write the figures of the validation split; return the qualities of the weights."""
        if self.dataset is None:
            return {}
        design, dataset = self.trial.design, self.dataset
        answers = Evaluator(dataset.task).answer_split(design, self.checkpoint, dataset, dataset.validation)
        files |= write_figures(answers, dataset.classes, work)
        if dataset.task == "segmentation":
            model = build_compiled_model(design.architecture, design.training)
            model.set_weights(self.weights)
            files["predictions"] = work / "predictions.png"
            files["predictions"].write_bytes(draw_predictions(model, dataset))
        return quality_values(answers)

    def _check(self, key: str, path: Path, values: Mapping[str, float]) -> FileCheck:
        """Load a file in its runtime and compare it; raises ConversionError."""
        precision = key.partition(".")[2] or "float32"
        check = FileCheck(key, path, precision, file_bytes(path))
        if self.weights is None:
            return check
        run = load_network(path, key.split(".")[0])
        if self.dataset is None:
            return check
        architecture, dataset = self.trial.design.architecture, self.dataset
        x = np.asarray(dataset.validation.x[:COMPARED_IMAGES])
        expected = compute_outputs(architecture, self.weights, x)
        try:
            outputs = run(x)
        except Exception as error:  # the runtimes' errors have no common type
            reason = error_line(error)
            raise ConversionError(f"'{path.name}' must run in its runtime, but: {reason}") from error
        difference, agreement = compare_outputs(path, precision, architecture.task, outputs, expected)
        qualities: dict[str, float] = {}
        if precision != "float32":
            found = quality_values(answer_with(run, architecture.task, dataset, dataset.validation))
            qualities = {name: value for name, value in found.items() if name.removesuffix("_se") in values}
        return replace(check, images=len(x), difference=difference, agreement=agreement, values=qualities)

    def _worse(self, check: FileCheck, values: Mapping[str, float]) -> list[str]:
        """Return a warning if a file is worse than the network by over one standard error."""
        name = self.quality.name
        if name not in check.values:
            return []
        difference = check.values[name] - values[name]
        if (-difference if self.quality.maximize else difference) <= values[f"{name}_se"]:
            return []
        return [
            f"{check.path.name} loses more than one standard error of {label(name)}: "
            f"{number(name, check.values[name])} instead of {_quality_text(name, values)}."
        ]

    def _describe(self, exported: Exported, origin: str, work: Path) -> dict[str, Path]:
        """Write the card, and `predict.py` where the input's meaning is known."""
        signature = self.plan.signature
        files = {"card": work / CARD}
        facts = CardFacts(
            origin,
            f"Trial {self.trial.number} of {self.name.rpartition(':')[0]}",
            self._data(),
            self._card_figures(exported.values),
            self._file_qualities(exported.checks),
            self._training(),
            [exported.compared, *exported.warnings],
            self.request.train_further or f"nas train {self.name} --epochs 100",
        )
        _write(files["card"], card_text(self.trial.design, facts, signature, exported.checks))
        runnable = [(check.name.split(".")[0], check.path.name) for check in exported.checks]
        if signature is not None and self.weights is not None and runnable:
            files["predict"] = work / PREDICT
            task, integer_io = self.trial.design.architecture.task, self.request.options.integer_io
            _write(files["predict"], predict_source(signature, task, runnable, integer_io))
        return files

    def _data(self) -> list[str]:
        sizes = ""
        if self.dataset is not None:
            train, validation = len(self.dataset.train), len(self.dataset.validation)
            sizes = f", {train:,} training and {validation:,} validation examples"
        return [f"`{Path(self.plan.data).name}`, fingerprint {self.plan.fingerprint or 'unknown'}{sizes}."]

    def _card_figures(self, values: Mapping[str, float]) -> list[tuple[str, str, str]]:
        """Return the figures of the trial: qualities, and costs that were measured."""
        if self.weights is None:
            return []
        rows = []
        recorded, count = self.trial.values, self.trial.trainings
        for quality in self.plan.criteria.qualities:
            meaning = quality.text + (f"; mean of {count} trainings" if count > 1 else "")
            if self.plan.judged_precision != "float32":
                meaning += f"; of the LiteRT file of {self.plan.judged_precision}"
            rows.append((label(quality.name), _quality_text(quality.name, recorded), meaning))
            if values and count > 1:
                text = "the same for the weights in these files, in float32"
                rows.append((label(quality.name), _quality_text(quality.name, values), text))
            if (name := f"test_{label(quality.name)}") in recorded:
                is_confirmed = f"confirmed_{label(quality.name)}" in recorded
                text = (
                    "mean of new trainings of this network (nas confirm)" if is_confirmed else "judged once"
                )
                rows.append((name, _quality_text(name, recorded), f"on the test split, {text}"))
        if "latency_ms" in recorded:
            noise = recorded.get("latency_cv", 0.0) * recorded["latency_ms"]
            text = f"median of one inference, {self.plan.device or 'unknown device'}"
            rows.append(("latency", f"{recorded['latency_ms']:.4g} ± {noise:.2g} ms", text))
        if "size_bytes" in recorded:
            rows.append(
                ("file size", f"{recorded['size_bytes']:,.0f} bytes", f"LiteRT, {self.plan.precision}")
            )
        return rows

    def _file_qualities(self, checks: Sequence[FileCheck]) -> dict[str, dict[str, str]]:
        """Return the qualities of files of lower precision as text, by quality and name of the file."""
        found: dict[str, dict[str, str]] = {}
        for quality in self.plan.criteria.qualities:
            for check in checks:
                if quality.name in check.values:
                    text = _quality_text(quality.name, check.values)
                    found.setdefault(label(quality.name), {})[check.name] = text
        return found

    def _training(self) -> list[str]:
        training, trial = self.trial.training, self.trial
        if self.weights is None:
            return ["The weights are new."]
        length = "1 epoch" if trial.epochs == 1 else f"{trial.epochs} epochs"
        return [
            f"Trained for {length} with {training.optimizer}, learning rate {training.learning_rate:g} "
            f"({training.schedule}), batch size {training.batch_size}. "
            "The weights are an average over the last epoch."
        ]


def _quality_text(name: str, values: Mapping[str, float]) -> str:
    return with_error(name, values.get(name), values.get(f"{name}_se"))


def _write(path: Path, text: str) -> None:
    with output_file(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8")
