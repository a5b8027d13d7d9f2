"""Transforms of images, compared with SciPy."""

from __future__ import annotations

import numpy as np
import pytest

from nas.architecture import Training
from nas.evaluation.augmentation import apply_transforms, sample_transforms

pytestmark = pytest.mark.trains  # needs TensorFlow


def test_a_flip_mirrors_about_half_of_the_images():
    rng = np.random.default_rng(0)
    x = rng.random((40, 6, 5, 2)).astype(np.float32)
    images = np.array(apply_transforms(x, sample_transforms(Training(flip=True), 40, (6, 5), rng)))
    flipped = np.array([np.allclose(image, old[:, ::-1]) for image, old in zip(images, x, strict=True)])
    assert 8 < flipped.sum() < 32
    np.testing.assert_allclose(images[~flipped], x[~flipped], atol=1e-5)


def test_rotation_and_zoom_equal_those_of_scipy():
    from scipy.ndimage import affine_transform

    x = np.random.default_rng(0).random((30, 9, 12, 1)).astype(np.float32)
    transforms = sample_transforms(Training(rotation=0.2, zoom=0.3), 30, (9, 12), np.random.default_rng(1))
    images = np.array(apply_transforms(x, transforms))
    scales, turns = [], []
    for old, new, (a0, a1, a2, b0, b1, b2, *_) in zip(x, images, transforms, strict=True):
        expected = affine_transform(
            old[..., 0], [[b1, b0], [a1, a0]], (b2, a2), order=1, mode="reflect", prefilter=False
        )
        inside = np.s_[2:-2, 2:-2]
        np.testing.assert_allclose(new[..., 0][inside], expected[inside], atol=1e-3)
        scales.append(np.hypot(a0, b0))
        turns.append(np.arctan2(b0, a0) / (2 * np.pi))
    assert 0.7 <= min(scales) < 0.85
    assert 1.15 < max(scales) <= 1.3
    assert -0.2 <= min(turns) < -0.1
    assert 0.1 < max(turns) <= 0.2
