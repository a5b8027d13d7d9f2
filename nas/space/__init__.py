"""Search spaces: architectures with open values; sampling, mutating, matching and counting their settings."""

from nas.space.open_values import (
    OpenValue,
    Setting,
    complete_setting,
    count_settings,
    is_active,
    iterate_settings,
    mutate,
    sample,
)
from nas.space.search_space import SearchSpace, find_network_file, shipped_files
from nas.space.statistics import count_distinct, find_extreme

__all__ = [
    "OpenValue",
    "SearchSpace",
    "Setting",
    "complete_setting",
    "count_distinct",
    "count_settings",
    "find_extreme",
    "find_network_file",
    "is_active",
    "iterate_settings",
    "mutate",
    "sample",
    "shipped_files",
]
