"""The record of searches and trainings in MLflow."""

from nas.record.search_record import Record, tracking_uri, ui_command
from nas.record.training_record import TrainingRecord, TrainingRun

__all__ = ["Record", "TrainingRecord", "TrainingRun", "tracking_uri", "ui_command"]
