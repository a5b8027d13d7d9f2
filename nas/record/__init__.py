"""The record of searches and trainings in MLflow, with a spool for what MLflow does not take yet."""

from nas.record.mlflow_store import mlflow_server_command, shown_uri, tracking_uri
from nas.record.names import NameInUseError, recorded_names, waiting_searches
from nas.record.search_record import SearchRecord
from nas.record.training_record import TrainingRecord, TrainingRun
from nas.record.trial_reference import parse_trial_reference, recorded_trial

__all__ = [
    "NameInUseError",
    "SearchRecord",
    "TrainingRecord",
    "TrainingRun",
    "mlflow_server_command",
    "parse_trial_reference",
    "recorded_names",
    "recorded_trial",
    "shown_uri",
    "tracking_uri",
    "waiting_searches",
]
