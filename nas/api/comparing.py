"""Compare recorded searches from Python."""

from __future__ import annotations

import warnings

from nas.errors import NasWarning
from nas.searching import SearchComparison, compare_searches

__all__ = ["compare"]


def compare(*names: str) -> SearchComparison:
    """Compare the fronts of recorded searches on one scale, as `nas compare` does.

    The `searches` of the result have hypervolumes on the scale of all of them, and their members of the joint
    front; `warnings` lists what else differs between them, and `as_data` returns all as plain data. Warns of
    trials that are damaged and left out. Raises InputError for an unknown name and for searches on other data
    or by another quality.

    Example:

    ```python
    compared = nas.compare("large", "small")
    print({search.name: search.hypervolume for search in compared.searches})
    ```
    """
    return compare_searches(names, lambda line: warnings.warn(line, NasWarning, stacklevel=4))
