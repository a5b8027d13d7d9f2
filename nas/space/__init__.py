"""Search spaces: architectures with open values, how they are sampled, mutated, matched and counted."""

from nas.space.open_values import all_settings, completed, count_settings
from nas.space.search_space import OpenValue, SearchSpace, Setting, active, mutate, sample, shipped
from nas.space.statistics import count_distinct, find_extreme

__all__ = [
    "OpenValue",
    "SearchSpace",
    "Setting",
    "active",
    "all_settings",
    "completed",
    "count_distinct",
    "count_settings",
    "find_extreme",
    "mutate",
    "sample",
    "shipped",
]
