"""The record of searches and trainings in MLflow, with a spool for what MLflow does not take yet."""

from nas.record.mlflow_store import shown_uri, tracking_uri, ui_command
from nas.record.names import NameInUseError, waiting_searches
from nas.record.search_record import SearchRecord
from nas.record.training_record import TrainingRecord, TrainingRun

__all__ = [
    "NameInUseError",
    "SearchRecord",
    "TrainingRecord",
    "TrainingRun",
    "shown_uri",
    "tracking_uri",
    "ui_command",
    "waiting_searches",
]
