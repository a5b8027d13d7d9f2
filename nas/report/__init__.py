"""The page of a report and its parts, pictures, and the description of data."""

from nas.report.answers_data import ExampleImages, answers_data
from nas.report.class_figures import write_figures
from nas.report.contact_sheet import draw_contact_sheet
from nas.report.data_summary import data_lines, describe_data
from nas.report.drawing import draw_network
from nas.report.effects import choice_indices, contrasts, first_order_shares, grouped_names
from nas.report.network_data import network_data
from nas.report.page import comparison_html, page_html
from nas.report.search_data import rounded, search_history, trial_columns
from nas.report.segmentation_pictures import draw_predictions

__all__ = [
    "ExampleImages",
    "answers_data",
    "choice_indices",
    "comparison_html",
    "contrasts",
    "data_lines",
    "describe_data",
    "draw_contact_sheet",
    "draw_network",
    "draw_predictions",
    "first_order_shares",
    "grouped_names",
    "network_data",
    "page_html",
    "rounded",
    "search_history",
    "trial_columns",
    "write_figures",
]
