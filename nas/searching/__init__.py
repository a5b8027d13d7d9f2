"""A search: its options and plan, screening, successive halving, the loop, and the session that runs it."""

from nas.searching.comparing import SearchComparison, compare_searches
from nas.searching.confirmed import Confirmation
from nas.searching.confirming import ConfirmedStep, prepare_confirmation
from nas.searching.exporting import Exported, ExportRequest, export_trial
from nas.searching.health import find_problems, find_waste
from nas.searching.plan import CHANGEABLE, Plan, SearchOptions
from nas.searching.planning import fitting_qualities
from nas.searching.recorded_data import judged_data
from nas.searching.recorded_report import RecordedReport
from nas.searching.reproducing import reproduce_trial
from nas.searching.screening import counted_costs
from nas.searching.session import Result, prepare_search, resume_search
from nas.searching.status import Status

__all__ = [
    "CHANGEABLE",
    "Confirmation",
    "ConfirmedStep",
    "ExportRequest",
    "Exported",
    "Plan",
    "RecordedReport",
    "Result",
    "SearchComparison",
    "SearchOptions",
    "Status",
    "compare_searches",
    "counted_costs",
    "export_trial",
    "find_problems",
    "find_waste",
    "fitting_qualities",
    "judged_data",
    "prepare_confirmation",
    "prepare_search",
    "reproduce_trial",
    "resume_search",
]
