"""The record of searches and trainings in MLflow, with a spool for what MLflow does not take yet."""

from nas.record.mlflow_store import mlflow_server_command, shown_uri, tracking_uri
from nas.record.names import NameInUseError, recorded_names, waiting_searches
from nas.record.registry import NetworkModel, RegisteredModel, check_model_name, register_model
from nas.record.search_record import SearchRecord
from nas.record.training_record import TrainingRecord, TrainingRun, find_training_run
from nas.record.trial_reference import parse_trial_reference, recorded_trial

__all__ = [
    "NameInUseError",
    "NetworkModel",
    "RegisteredModel",
    "SearchRecord",
    "TrainingRecord",
    "TrainingRun",
    "check_model_name",
    "find_training_run",
    "mlflow_server_command",
    "parse_trial_reference",
    "recorded_names",
    "recorded_trial",
    "register_model",
    "shown_uri",
    "tracking_uri",
    "waiting_searches",
]
