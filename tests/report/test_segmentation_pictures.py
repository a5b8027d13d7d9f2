"""Pictures of predictions: position and colour of each part."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from nas.report.segmentation_pictures import class_colours, draw_comparison


def test_image_mask_and_prediction_are_drawn_side_by_side():
    image = np.zeros((1, 4, 6, 3), np.uint8)
    image[0, :, :, 1] = 200
    masks = np.array([[[0, 0, 0, 1, 1, 255]] * 4])
    predicted = np.array([[[1, 1, 1, 0, 0, 2]] * 4])
    png = draw_comparison(image, masks, predicted, ("sky", "road", "car"))
    drawn = np.asarray(Image.open(io.BytesIO(png)))
    width = drawn.shape[1] // 3
    step = (width - 4) / 6
    assert tuple(drawn[10, 10]) == (0, 200, 0)
    for column, (label, prediction) in enumerate(zip(masks[0, 0], predicted[0, 0], strict=True)):
        x = int((column + 0.5) * step)
        expected = class_colours(3)[label] if label < 3 else [128, 128, 128]
        assert list(drawn[10, width + x]) == list(expected)
        assert list(drawn[10, 2 * width + x]) == list(class_colours(3)[prediction])
