"""Data sets: reading arrays and image folders, splits, and arrays that several processes share."""

from nas.data.dataset import RECORD_FILE, DataOptions, Dataset, Split, load_dataset

__all__ = ["RECORD_FILE", "DataOptions", "Dataset", "Split", "load_dataset"]
