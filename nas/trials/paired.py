"""Compare networks that were trained with several seeds and judged by the same examples.

Both the seeds and the examples are samples. Each network has seeds of its own, and all networks have the same
examples. The variance of a mean, or of a difference of means, is therefore the sum of a part of the examples
and one of the seeds of each network, from the mean squares of the table (seeds, examples). Readers and cases
take the places of seeds and examples in Gallas, Pennello and Myers, Multireader multicase variance analysis
for binary data, 2007, doi:10.1364/JOSAA.24.000B70, and in Hillis, A marginal-mean ANOVA approach, 2014,
doi:10.1002/sim.5926.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from string import ascii_letters

import numpy as np

__all__ = ["Estimate", "combine", "holm", "seed_error", "tie_letters"]


@dataclass(frozen=True)
class Estimate:
    """A mean, or a combination of means, with its standard error."""

    mean: float
    error: float | None  # None: a network with less than 2 seeds
    degrees: float = math.inf  # of freedom of the error

    @property
    def p(self) -> float | None:
        """The probability of a mean at least as far from 0 if the true one is 0, by Student's t."""
        from scipy.special import stdtr

        if self.error is None:
            return None
        if not self.error:
            return float(self.mean == 0.0)
        return float(2.0 * stdtr(self.degrees, -abs(self.mean) / self.error))


def combine(parts: Sequence[tuple[float, np.ndarray]], is_share: bool = True) -> Estimate:
    """Return the weighted sum of the means of tables (seeds, examples), with its standard error.

    One part of weight 1 gives the mean of a network, weights 1 and -1 give the difference of two.

    is_share: the values are contributions to a share. Then one more example that differs by 1 is assumed, so
    that equal answers to few examples do not have a standard error of 0.
    """
    by_example = np.sum([weight * table.mean(axis=0) for weight, table in parts], axis=0)
    mean, examples = float(by_example.mean()), len(by_example)
    if examples < 2 or any(len(table) < 2 for _, table in parts):
        return Estimate(mean, None)
    squares = float(np.sum((by_example - mean) ** 2)) + float(is_share)
    variance = squares / (examples - 1) / examples
    spread = variance**2 / (examples - 1)
    for weight, table in parts:
        between, interaction = _seed_variances(table)
        # The part of the examples has the interaction already.
        variance += weight**2 * max(0.0, between - interaction)
        spread += (weight**2 * between) ** 2 / (len(table) - 1)
    # Satterthwaite, 1946, doi:10.2307/3002019
    degrees = variance**2 / spread if spread else math.inf
    return Estimate(mean, math.sqrt(variance), max(1.0, degrees))


def seed_error(table: np.ndarray) -> float | None:
    """Return the standard error of the mean of a table (seeds, examples) for these very examples."""
    return math.sqrt(_seed_variances(table)[0]) if len(table) > 1 else None


def _seed_variances(table: np.ndarray) -> tuple[float, float]:
    """Return the variance of the mean over seeds, and what the interaction with the examples adds to it."""
    seeds, examples = table.shape
    by_seed, by_example = table.mean(axis=1), table.mean(axis=0)
    between = float(by_seed.var(ddof=1)) / seeds
    rest = table - by_seed[:, None] - by_example[None, :] + table.mean()
    mean_square = float(np.sum(rest**2)) / ((seeds - 1) * max(1, examples - 1))
    return between, mean_square / (seeds * examples)


def holm(values: Sequence[float]) -> list[float]:
    """Return p-values that are corrected for their number (Holm, 1979, jstor.org/stable/4615733)."""
    corrected, greatest = [0.0] * len(values), 0.0
    for rank, index in enumerate(sorted(range(len(values)), key=values.__getitem__)):
        greatest = max(greatest, min(1.0, (len(values) - rank) * values[index]))
        corrected[index] = greatest
    return corrected


def tie_letters(members: Sequence[int], ties: Iterable[tuple[int, int]]) -> dict[int, str]:
    """Return letters for each member: two members are tied if and only if they share a letter.

    members: the best first, which have the first letters. A letter stands for a largest set of members that
    are all tied with each other (Piepho, 2004, doi:10.1198/1061860043515).
    """
    tied: dict[int, set[int]] = {member: set() for member in members}
    for first, second in ties:
        tied[first].add(second)
        tied[second].add(first)
    rank = {member: position for position, member in enumerate(members)}
    found = _cliques(tied, frozenset(), set(members), set())
    groups = sorted(sorted(rank[member] for member in group) for group in found)
    letters = dict.fromkeys(members, "")
    for number, group in enumerate(groups):
        letter = ascii_letters[number % 52] + (str(number // 52) if number >= 52 else "")
        for position in group:
            letters[members[position]] += letter
    return letters


def _cliques(
    tied: Mapping[int, set[int]], clique: frozenset[int], candidates: set[int], excluded: set[int]
) -> Iterator[frozenset[int]]:
    """Yield the maximal cliques of a graph that contain a clique (Bron and Kerbosch, 1973, with a pivot).

    candidates: members that are tied with all of the clique and may extend it; excluded: those whose cliques
    were found already.
    """
    if not candidates and not excluded:
        yield clique
        return
    pivot = max(candidates | excluded, key=lambda member: len(tied[member] & candidates))
    for member in sorted(candidates - tied[pivot]):
        yield from _cliques(tied, clique | {member}, candidates & tied[member], excluded & tied[member])
        candidates = candidates - {member}
        excluded = excluded | {member}
