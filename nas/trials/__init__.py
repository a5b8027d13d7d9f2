"""Trials: objectives, criteria, limits, candidates, front, hypervolume, picking, and earlier searches."""

from nas.trials.candidate import Candidate
from nas.trials.criteria import Criteria
from nas.trials.earlier import EarlierSearch, Observation
from nas.trials.front import front_csv, hypervolume_curve, pareto_front, trial_rows
from nas.trials.labels import network_summary, trial_label
from nas.trials.paired import Estimate, combine, holm, seed_error, tie_letters
from nas.trials.pareto import non_dominated, scale_to_unit
from nas.trials.pick import meeting, pick_answers, pick_trial
from nas.trials.ties import error_rows
from nas.trials.trial import OBJECTIVES, Limit, Objective, State, Trial, parse_objectives
from nas.trials.value_text import label, number, with_error

__all__ = [
    "OBJECTIVES",
    "Candidate",
    "Criteria",
    "EarlierSearch",
    "Estimate",
    "Limit",
    "Objective",
    "Observation",
    "State",
    "Trial",
    "combine",
    "error_rows",
    "front_csv",
    "holm",
    "hypervolume_curve",
    "label",
    "meeting",
    "network_summary",
    "non_dominated",
    "number",
    "pareto_front",
    "parse_objectives",
    "pick_answers",
    "pick_trial",
    "scale_to_unit",
    "seed_error",
    "tie_letters",
    "trial_label",
    "trial_rows",
    "with_error",
]
