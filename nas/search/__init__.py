"""A search: its plan, screening, successive halving, the loop and its session."""

from nas.search.plan import Plan
from nas.search.screening import counted_costs
from nas.search.session import Result, prepare_search, resume_search
from nas.search.status import Status

__all__ = ["Plan", "Result", "Status", "counted_costs", "prepare_search", "resume_search"]
