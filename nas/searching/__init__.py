"""A search: its plan, screening, successive halving, the loop and its session."""

from nas.searching.plan import Plan
from nas.searching.screening import counted_costs
from nas.searching.session import Result, prepare_search, resume_search
from nas.searching.status import Status

__all__ = ["Plan", "Result", "Status", "counted_costs", "prepare_search", "resume_search"]
