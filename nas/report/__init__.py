"""Figures and pictures of a search, and the description of its data."""

from nas.report.class_figures import write_figures
from nas.report.contact_sheet import draw_contact_sheet
from nas.report.data_summary import data_lines, describe_data
from nas.report.figures import figure_html, hypervolume_figure, pareto_figure
from nas.report.number_figures import numbers_figure
from nas.report.segmentation_pictures import draw_predictions, picture_html

__all__ = [
    "data_lines",
    "describe_data",
    "draw_contact_sheet",
    "draw_predictions",
    "figure_html",
    "hypervolume_figure",
    "numbers_figure",
    "pareto_figure",
    "picture_html",
    "write_figures",
]
