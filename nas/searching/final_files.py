"""The figures and tables that a search puts on its run in the record when it ends."""

from __future__ import annotations

from collections.abc import Sequence

from nas.backends import build_compiled_model, predict
from nas.data import Dataset, labels_text
from nas.evaluation import load_weights
from nas.record import SearchRecord
from nas.report import (
    draw_predictions,
    figure_html,
    hypervolume_figure,
    numbers_figure,
    pareto_figure,
    picture_html,
)
from nas.searching.plan import Plan
from nas.trials import Trial, front_csv, hypervolume_curve, pareto_front, pick_trial

__all__ = ["final_files"]


def final_files(
    trials: Sequence[Trial], plan: Plan, record: SearchRecord, dataset: Dataset
) -> dict[str, str]:
    """Return the content of each file by its name.

    These are the front as figure, with the hypervolume over trials, and as table, the names of the outputs,
    and for segmentation and regression the predictions of the best network.
    """
    criteria = plan.criteria
    front = pareto_figure(trials, criteria, record.links(trials))
    files = {
        "front.html": figure_html(front, hypervolume_figure(hypervolume_curve(trials, criteria))),
        "front.csv": front_csv(trials, criteria),
        "labels.txt": labels_text(dataset.classes),
    }
    if plan.task in ("segmentation", "regression") and pareto_front(trials, criteria):
        best = pick_trial(trials, criteria, "best")
        model = build_compiled_model(best.design.architecture, best.training)
        load_weights(model, record.file(best))
        if plan.task == "segmentation":
            title = f"Trial {best.number}: validation images, masks, predictions"
            files["predictions.html"] = picture_html(draw_predictions(model, dataset), title)
        else:
            title = f"Trial {best.number}: predictions for validation examples"
            outputs = predict(model, dataset.validation.x)
            figure = numbers_figure(dataset.validation.y, outputs, dataset.classes, title)
            files["predictions.html"] = figure_html(figure)
    return files
