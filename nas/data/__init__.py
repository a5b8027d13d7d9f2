"""Read data sets from arrays and image folders, split them, and share their arrays between processes."""

from nas.data.cache import clean_cache
from nas.data.dataset import RECORD_FILE, Dataset, Split
from nas.data.feeding import Feeding
from nas.data.folds import check_folds, select_fold
from nas.data.loading import load_dataset
from nas.data.options import DataOptions
from nas.data.python_data import save_python_data
from nas.data.signature import Signature, labels_text

__all__ = [
    "RECORD_FILE",
    "DataOptions",
    "Dataset",
    "Feeding",
    "Signature",
    "Split",
    "check_folds",
    "clean_cache",
    "labels_text",
    "load_dataset",
    "save_python_data",
    "select_fold",
]
