"""Figures and pictures of a search."""

from nas.report.class_figures import write_class_figures
from nas.report.figures import figure_html, hypervolume_figure, pareto_figure
from nas.report.segmentation_pictures import draw_predictions, picture_html

__all__ = [
    "draw_predictions",
    "figure_html",
    "hypervolume_figure",
    "pareto_figure",
    "picture_html",
    "write_class_figures",
]
