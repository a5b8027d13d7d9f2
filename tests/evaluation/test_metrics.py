import numpy as np
import pytest

from nas.evaluation.metrics import mean_iou, mean_metrics


def test_mean_metrics_divide_by_the_number_of_answers():
    assert mean_metrics(np.array([6.0, 3.0, 4.0])) == {"loss": 1.5, "accuracy": 0.75}
    assert mean_metrics(np.zeros(3)) == {"loss": 0.0, "accuracy": 0.0}


def test_mean_iou_leaves_out_classes_that_do_not_occur():
    confusion = np.array([[3, 1, 0], [0, 2, 0], [0, 0, 0]])
    assert mean_iou(confusion) == pytest.approx((3 / 4 + 2 / 3) / 2)
    assert mean_iou(np.zeros((3, 3), int)) == 0.0
