"""A recorded search: its plan, its trials, and what can be done with them."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nas.backends import Precision, build_compiled_model
from nas.errors import DataError, InputError, NasWarning
from nas.evaluation import read_state
from nas.executors import worker_count
from nas.export import ExportOptions
from nas.record import NetworkModel, RegisteredModel, SearchRecord, register_model
from nas.report import draw_predictions
from nas.searching import (
    Confirmation,
    ConfirmedStep,
    Exported,
    ExportRequest,
    Plan,
    RecordedReport,
    export_trial,
    judged_data,
    prepare_confirmation,
    reproduce_trial,
)
from nas.training import FinishedTraining
from nas.trials import Trial, pareto_front, pick_trial

if TYPE_CHECKING:
    import keras

__all__ = ["Found"]


@dataclass(frozen=True)
class Found:
    """A recorded search: its plan and its trained trials.

    Example:

    ```python
    found = nas.find()
    best = found.pick("best")
    found.export(best, "best", formats=("keras", "python"))
    ```
    """

    record: SearchRecord | FinishedTraining
    plan: Plan
    trials: tuple[Trial, ...]
    training: Path | None = None  # the folder of a training that has ended; None: it is a search

    @property
    def name(self) -> str:
        """The name of the search."""
        return self.record.name

    @property
    def front(self) -> list[Trial]:
        """The Pareto front of the trials that were trained in full, best quality first."""
        return pareto_front(self.trials, self.plan.criteria)

    def pick(self, choice: str | int = "best", where: str = "") -> Trial:
        """Return one trial by its number or a rule of `nas export --pick`, such as "smallest-within 1%".

        where: conditions on its values, for example "params < 50000 and accuracy >= 0.9". Raises InputError
        if there is no such trial.
        """
        return pick_trial(self.trials, self.plan.criteria, str(choice), where)

    def confirm(
        self,
        *,
        seeds: int = 5,
        top: int = 10,
        where: str = "",
        seconds: float | None = None,
        workers: int | None = None,
        show: Callable[[ConfirmedStep], None] = lambda _: None,
        progress: Callable[[str], None] = lambda _: None,
    ) -> Confirmation:
        """Train front members again with new seeds and judge them on the test split, as `nas confirm` does.

        Parameters:

        - seeds: number of trainings of each member. What was trained by an earlier call is not repeated.
        - top: number of members, those with the best quality.
        - where: conditions on the members, for example "params < 50000".
        - seconds: no training begins that would end later.
        - workers: number of processes that train; None: one per core; 0: this process. With more than 0, call
        this under `if __name__ == "__main__":`, because worker processes import the calling script.
        - show: receives each training that has ended. progress: receives sentences for the user.

        Returns means with standard errors, ties and the confirmed front; `as_data` has them as plain data.
        `trials` and `front` keep the values from before this call. Raises InputError for a front without such
        members, DataError if the data has changed or has no test split.
        """
        self._require_search("a confirmation", "use a search")
        session = prepare_confirmation(
            self.name,
            seeds=seeds,
            top=top,
            where=where,
            seconds=seconds,
            workers=worker_count(workers),
            progress=progress,
        )
        progress(session.introduction())
        found = session.run(show, progress)
        if session.delivery_problem:
            warnings.warn(
                f"{session.delivery_problem}; `nas sync {self.name}` delivers what waits in mlruns/spool.",
                NasWarning,
                stacklevel=2,
            )
        return found

    def reproduce(self, trial: Trial) -> dict[str, float]:
        """Train a trial again, from its record alone, and return the values that depend on training.

        They equal those of the trial, to the last bit on the same machine with the same versions of the
        libraries. Raises InputError for a trial that was not trained, DataError if the data has changed.
        """
        self._require_search("a reproduced trial", "repeat nas train with another --out")
        return dict(reproduce_trial(self.plan, trial))

    def _require_search(self, what: str, fix: str) -> None:
        """Raise InputError for a training."""
        if self.training is not None:
            raise InputError(f"{what} must be of a search, got the training '{self.training}'; {fix}")

    def weights(self, trial: Trial) -> list[np.ndarray]:
        """Return the weights of a trial in the order of Keras' `model.weights`; raises RecordError."""
        return list(read_state(self.record.file(trial)).weights)

    def model(self, trial: Trial) -> keras.Model:
        """Return the network of a trial as a compiled Keras model with its weights."""
        model = build_compiled_model(trial.design.architecture, trial.design.training)
        model.set_weights(self.weights(trial))
        return model

    def export(
        self,
        trial: Trial,
        folder: str | Path = "",
        *,
        formats: Sequence[str] = ("keras", "python"),
        precision: Precision | Sequence[Precision] = "float32",
        integer_io: bool = False,
        fresh: bool = False,
        force: bool = False,
    ) -> Exported:
        """Write a trial's network as files, each compared with the network that was judged.

        - folder: empty: `export/NAME-TRIAL`.
        - formats: of "keras", "python", "litert", "onnx", "saved_model", "yaml"; `architecture.yaml`,
        `model_card.md`, `predict.py` and `labels.txt` are always written.
        - precision: of the LiteRT files, one or several; "int8" is calibrated with training images.
        - integer_io: the int8 file has int8 tensors at input and output, for microcontrollers.
        - fresh: new weights instead of the trained ones.
        - force: replace what is in the folder, even an export of another network.

        Each file is loaded in its own runtime and run on up to 100 validation examples: `checks` has the
        greatest difference, the share of equal decisions and, for a lower precision, the qualities of the
        file on the validation split. Figures of that split are written as well: `classes.csv` and
        `confusion.csv`, for several labels `classes.csv`, for regression `numbers.csv` and `predictions.csv`,
        for segmentation `predictions.png`. If the data is away or has changed, nothing is compared.

        Returns `files`, the paths by format, `checks`, `values`, the qualities of the network in float32,
        `compared`, a sentence, and `warnings`.

        Raises InputError for a folder that holds anything else, ConversionError if a file cannot be made or
        does not answer as the network.
        """
        precisions = (precision,) if isinstance(precision, str) else tuple(precision)
        options = ExportOptions(tuple(formats), precisions, integer_io=integer_io)
        target = Path(folder or f"export/{self.name}-{trial.number}")
        again = ""
        if self.training is not None:
            again = f"nas train architecture.yaml --data {self.plan.data} --from {self.training}"
        request = ExportRequest(target, options, fresh, force, again)
        return export_trial(self.name, self.plan, trial, self.record.file(trial), request)

    def register(self, trial: Trial, files: Mapping[str, Path], name: str) -> RegisteredModel:
        """Register exported files of a trial as the next version of a model in MLflow's registry.

        files: what `export` wrote, with a `.tflite` or a `.keras` file. The version has the alias
        `candidate`, the model card as its description, and `mlflow models serve` answers with it. The files
        stay as they are. Raises InputError for a name that a registry cannot hold, and without such a file;
        RecordError if MLflow does not have the trial, or cannot be reached.
        """
        signature = self.plan.signature
        served = [path for path in files.values() if path.suffix in (".tflite", ".keras")]
        served.sort(key=lambda path: path.suffix != ".tflite")
        if not served:
            raise InputError(
                f"a registered model needs a .tflite or .keras file, got {', '.join(files)}; "
                "add --format litert"
            )
        if signature is None:
            raise InputError(
                f"a registered model needs to know its classes, but the record of '{self.name}' has none; "
                "search again with this version"
            )
        card = files.get("card")
        example = None
        with contextlib.suppress(DataError):  # the data is away: the example is of zeros
            example = np.asarray(judged_data(self.plan).validation.x[0])
        return register_model(
            name,
            NetworkModel(
                file=served[0],
                signature=signature,
                output_shape=tuple(trial.design.architecture.layers[-1].shape),
                card=card.read_text(encoding="utf-8") if card else signature.text(),
                run_id=self.record.trial_run(trial),
                beside=tuple(path for key, path in files.items() if key in ("labels", "card")),
                example=example,
                tags={"search": self.name, "trial": str(trial.number), "architecture": trial.id},
            ),
        )

    def report(self, path: str | Path) -> Path:
        """Write the report of the search, one HTML page that needs no network; return its path.

        Examples are left out, with a warning, if the data of the search is away or has changed. Raises
        InputError for a training, which has its report in its folder.
        """
        self._require_search("a report", "open report.html in its folder")
        for notice in RecordedReport(self.name).write(Path(path)):
            warnings.warn(notice, NasWarning, stacklevel=2)
        return Path(path)

    def draw_predictions(self, trial: Trial) -> bytes:
        """Return a PNG of validation images, their masks and a segmentation network's predictions."""
        return draw_predictions(self.model(trial), judged_data(self.plan))
