"""How the trials of a search are trained: with which data and seeds, and where."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nas.backends import Precision
from nas.evaluation import Job
from nas.trials import Trial

__all__ = ["TrialTraining"]


@dataclass(frozen=True)
class TrialTraining:
    """A trial is trained in parts: once for each seed and fold."""

    datasets: Sequence[Path]  # folders of the saved folds of the data; one without cross-validation
    scratch: Path
    seed: int = 0
    repeats: int = 1  # number of seeds of each trial
    precision: Precision = "float32"  # of the file whose qualities count
    front_seeds: int = 1  # least number of trainings of a front member at the end of a search

    @property
    def parts(self) -> int:
        """Number of trainings of a trial."""
        return self.repeats * len(self.datasets)

    def remove_files(self, number: int) -> None:
        """Remove the scratch files of a trial that has ended: the record has what is needed."""
        shutil.rmtree(self._folder(number), ignore_errors=True)

    def _folder(self, number: int) -> Path:
        return self.scratch / f"trial{number}"

    def job(self, trial: Trial, part: int, epochs: tuple[int, int], resume: Path | None) -> Job:
        """Return the training of a part of a trial up to an epoch.

        epochs: those to train in total, and those of the full length.
        """
        seed, fold = divmod(part, len(self.datasets))
        return Job(
            design=trial.design,
            dataset=self.datasets[fold],
            epochs=epochs[0],
            full_epochs=epochs[1],
            folder=self._folder(trial.number) / str(part),
            resume=resume,
            seed=self.seed + 1000 * seed,
            number=trial.number,
            is_last=epochs[0] >= epochs[1],
            precision=self.precision,
        )
