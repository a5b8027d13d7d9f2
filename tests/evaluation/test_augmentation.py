"""Random changes of training batches, compared with Keras' layers, SciPy and plain NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from nas.architecture import Design
from nas.evaluation.augmentation import apply_changes, augment, move_masks, sample_changes
from nas.tensorflow_imports import import_keras

pytestmark = pytest.mark.trains  # needs TensorFlow

SHAPE = (12, 9, 3)
NAMES = ("flip", "crop", "translation", "rotation", "zoom", "brightness", "contrast", "cutout", "mixup")


def design(shape=SHAPE, task="classification", **training):
    """Return a design; images of a range other than 0 to 255 are not rescaled."""
    rescale = "value_range" not in training
    return Design.from_dict(
        {"input_shape": list(shape), "classes": 4, "task": task, "rescale": rescale, "training": training}
    )


class Highest:
    """Draws the greatest value of each range, so that Keras' layers can be given the same."""

    def uniform(self, low, high, size):
        return np.full(size, high)


class Counted:
    """Numbers as positions of cutout."""

    def random(self, size):
        return np.random.default_rng(4).random(size)


def images(count=20, shape=SHAPE, scale=255):
    return (np.random.default_rng(0).random((count, *shape)) * scale).astype(np.float32)


def changed(x, one, rng):
    return apply_changes(x, sample_changes(one, x.shape, rng), one.value_range)


def test_a_flip_mirrors_about_half_of_the_images():
    x = images(40)
    found = changed(x, design(flip=True), np.random.default_rng(0))
    flipped = np.array([np.array_equal(new, old[:, ::-1]) for new, old in zip(found, x, strict=True)])
    assert 8 < flipped.sum() < 32
    np.testing.assert_array_equal(found[~flipped], x[~flipped])


def test_a_crop_is_one_of_the_padded_image_and_all_are_equally_likely():
    x = np.repeat(images(1), 900, axis=0)
    padded = np.pad(x[0], ((1, 1), (1, 1), (0, 0)), mode="symmetric")
    crops = [padded[top : top + 12, left : left + 9] for top in range(3) for left in range(3)]
    found = changed(x, design(crop=1), np.random.default_rng(0))
    counts = [sum(np.array_equal(new, crop) for new in found) for crop in crops]
    assert sum(counts) == 900
    assert min(counts) > 70


def test_a_large_crop_reads_the_mirror_image():
    x = images(30)
    found = changed(x, design(crop=8, flip=True), np.random.default_rng(0))
    padded = np.pad(x, ((0, 0), (8, 8), (8, 8), (0, 0)), mode="symmetric")
    for old, new in zip(padded, found, strict=True):
        crops = [
            one[t : t + 12, i : i + 9] for one in (old, old[:, ::-1]) for t in range(17) for i in range(17)
        ]
        assert any(np.array_equal(crop, new) for crop in crops)


@pytest.mark.parametrize(
    "training",
    [
        {"translation": 0.21},
        {"rotation": 0.07},
        {"zoom": 0.3},
        {"translation": 1 / 3, "rotation": 0.25},
    ],
    ids=str,
)
def test_transforms_equal_keras_layers_one_after_another(training):
    layers = import_keras().layers
    x = images(shape=(9, 9, 3))
    expected = x
    if limit := training.get("translation"):
        expected = layers.RandomTranslation((limit, limit), (limit, limit))(expected, training=True)
    if limit := training.get("rotation"):
        expected = layers.RandomRotation((limit, limit))(expected, training=True)
    if limit := training.get("zoom"):
        expected = layers.RandomZoom((limit, limit))(expected, training=True)
    found = changed(x, design((9, 9, 3), **training), Highest())
    assert np.abs(found - x).max() > 100
    np.testing.assert_allclose(found, expected, atol=0.01)


def test_drawn_transforms_equal_those_of_scipy_and_fill_their_ranges():
    from scipy.ndimage import affine_transform

    x = images(60, (9, 12, 1))
    changes = sample_changes(design((9, 12, 1), rotation=0.2, zoom=0.3), x.shape, np.random.default_rng(1))
    found = apply_changes(x, changes, (0, 255))
    scales, turns = [], []
    for old, new, (a0, a1, a2, b0, b1, b2) in zip(x, found, changes.transforms, strict=True):
        expected = affine_transform(old[..., 0], [[b1, b0], [a1, a0]], (b2, a2), order=1, mode="reflect")
        inside = np.s_[2:-2, 2:-2]
        np.testing.assert_allclose(new[..., 0][inside], expected[inside], atol=0.05)
        scales.append(np.hypot(a0, b0))
        turns.append(np.arctan2(b0, a0) / (2 * np.pi))
    assert 0.7 <= min(scales) < 0.8
    assert 1.2 < max(scales) <= 1.3
    assert -0.2 <= min(turns) < -0.15
    assert 0.15 < max(turns) <= 0.2


@pytest.mark.parametrize("value_range", [(0.0, 255.0), (0.0, 1.0), (-1.0, 1.0)], ids=str)
def test_brightness_contrast_and_cutout_equal_keras_layers(value_range):
    layers = import_keras().layers
    low, high = value_range
    x = images(scale=1) * (high - low) + low
    given = {} if high == 255 else {"value_range": list(value_range)}
    found = changed(x, design(brightness=0.4, contrast=0.6, **given), Highest())
    expected = layers.RandomBrightness((0.4, 0.4), value_range=value_range)(x, training=True)
    contrast = layers.RandomContrast(0.6, value_range=value_range)
    expected = contrast.transform_images(expected, {"contrast_factor": 1.6})
    np.testing.assert_allclose(found, expected, atol=1e-4 * high)
    assert found.min() >= low
    assert found.max() == high

    one = design(cutout=0.4, **given)
    changes = sample_changes(one, x.shape, Counted())
    found = apply_changes(x, changes, one.value_range)
    erasing = layers.RandomErasing(
        (1.0, 1.0), (0.16, 0.16), fill_value=(low + high) / 2, value_range=value_range
    )
    starts = Counted().random((len(x), 2)) * [12 - 4.8, 9 - 3.6]
    corners = (starts[:, 1], starts[:, 1] + 3.6, starts[:, 0], starts[:, 0] + 4.8)
    masks = erasing._generate_batch_mask(x.shape, tuple(corner.astype(np.float32) for corner in corners))
    np.testing.assert_array_equal(found, np.where(masks, (low + high) / 2, x))
    assert {12, 16, 20} & {int(mask[..., 0].numpy().sum()) for mask in masks}


@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_all_changes_keep_the_range_of_values(kind):
    given = {} if kind == np.uint8 else {"value_range": [0, 1]}
    limits = {"crop": 2, "flip": True} | dict.fromkeys(NAMES[2:], 0.5)
    one = design(**limits, **given)
    x = images(64).astype(np.uint8)
    x = x if kind == np.uint8 else x.astype(np.float32) / 255
    found, _, mixture = augment(one, x, np.arange(64, dtype=np.int32), np.random.default_rng(0))
    assert found.dtype == np.float32
    assert found.min() >= 0
    assert 0.9 < found.max() / one.value_range[1] <= 1
    assert sorted(mixture.labels) == list(range(64))


@pytest.mark.parametrize("shape", [SHAPE, (12, 3)], ids=["images", "signals"])
def test_mixup_equals_keras_mix_up(shape):
    x, y = images(60, shape), np.arange(60, dtype=np.int32) % 4
    found, labels, mixture = augment(design(shape, mixup=0.4), x, y, np.random.default_rng(0))
    changes = sample_changes(design(shape, mixup=0.4), x.shape, np.random.default_rng(0))
    transformation = {"mix_weight": changes.shares, "permutation_order": changes.partners}
    layer = import_keras().layers.MixUp(0.4)
    expected = layer.transform_images(x.reshape(60, 12, -1, 3), transformation)
    np.testing.assert_allclose(found, np.reshape(expected, x.shape), atol=0.01)
    np.testing.assert_array_equal(labels, y)
    np.testing.assert_array_equal(mixture.labels, y[changes.partners])
    assert ((mixture.shares > 0.1) & (mixture.shares < 0.9)).sum() > 15


def test_masks_move_with_their_images_and_get_no_new_labels():
    rng = np.random.default_rng(0)
    masks = rng.choice([1, 7, 255], (40, 12, 9)).astype(np.int32)
    x = np.repeat(masks[..., None], 3, axis=-1).astype(np.uint8)
    one = design(task="segmentation", flip=True, crop=3)
    moved, labels, _ = augment(one, x, masks, np.random.default_rng(1))
    np.testing.assert_array_equal(moved[..., 0], labels)
    assert (labels != masks).mean() > 0.3
    assert labels.dtype == np.int32

    one = design(task="segmentation", flip=True, crop=3, translation=0.3, rotation=0.2, zoom=0.4)
    large = np.repeat(np.repeat(masks, 8, axis=1), 8, axis=2)
    x = large[..., None].astype(np.float32)
    changes = sample_changes(one, x.shape, np.random.default_rng(1))
    labels, moved = move_masks(large, changes), apply_changes(x, changes, (0, 255))[..., 0]
    assert set(np.unique(labels)) == {1, 7, 255}
    inside = np.isin(moved, (1, 7, 255))  # not between pixels of different labels
    assert inside.mean() > 0.6
    np.testing.assert_array_equal(labels[inside], moved[inside])


def test_changes_of_values_leave_masks_as_they_are():
    masks = np.random.default_rng(0).integers(0, 4, (5, 12, 9)).astype(np.int32)
    one = design(task="segmentation", brightness=0.3, contrast=0.3, cutout=0.5)
    x, labels, _ = augment(one, images(5), masks, np.random.default_rng(1))
    np.testing.assert_array_equal(labels, masks)
    assert np.abs(x - images(5)).min(axis=(1, 2, 3)).max() > 0


def test_equal_generators_draw_equal_changes():
    one = design(**{"crop": 2, "flip": True} | dict.fromkeys(NAMES[2:], 0.3))
    first, second, other = (changed(images(), one, np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, second)
    assert not np.allclose(first, other)
