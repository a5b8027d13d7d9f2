"""The part of the augmentation that is no layer of a model: batches for `fit`, as source."""

from __future__ import annotations

from nas.architecture import Architecture, Training
from nas.backends import moving_layers
from nas.export.python.formatting import call_text
from nas.export.python.statements import Call

__all__ = ["batches_function", "batches_name"]


def batches_name(architecture: Architecture, training: Training) -> str:
    """Return the name of the function that yields batches, "" if `fit` needs none."""
    if training.mixup:
        return "mixed_batches"
    return "moved_batches" if architecture.task == "segmentation" and training.moves_pixels else ""


def batches_function(architecture: Architecture, training: Training) -> str:
    """Return the source of the function that `batches_name` names."""
    if training.mixup:
        return _mixed_batches(architecture, training)
    return _moved_batches(architecture, training)


def _mixed_batches(architecture: Architecture, training: Training) -> str:
    weighted, binary = training.class_weight != "none", architecture.task == "binary"
    axes = ", None" * (len(architecture.input_shape) - 1)
    share = "share" if binary else "share[:, None]"
    weights = "class_weight[0] + labels * (class_weight[1] - class_weight[0])"
    if not binary:
        weights = f"labels @ [class_weight.get(label, 0) for label in range({architecture.classes})]"
    return "\n".join(
        [
            f"def mixed_batches(x, y, batch_size{', class_weight' if weighted else ''}):",
            '    """Yield batches without end; each example and its label are mixed with another (mixup)."""',
            *_loop(),
            "            others = np.random.permutation(chosen)",
            f"            share = np.random.beta({training.mixup!r}, {training.mixup!r}, len(chosen))",
            f"            labels = {share} * y[chosen] + (1 - {share}) * y[others]",
            f"            share = share[:, None{axes}]",
            "            mixed = share * x[chosen] + (1 - share) * x[others]",
            f"            yield mixed, labels{', ' + weights if weighted else ''}",
        ]
    )


def _moved_batches(architecture: Architecture, training: Training) -> str:
    moves = [
        call_text(Call(f"layers.{name}", tuple(arguments.items())))
        for name, arguments in moving_layers(architecture, training).values()
    ]
    masks = "y[chosen]" if training.softens_labels else "y[chosen][..., None]"
    return "\n".join(
        [
            "def moved_batches(x, y, batch_size):",
            '    """Yield batches without end; masks move with their images, as no layer of a model does."""',
            "    moves = [",
            *(f"        {move}," for move in moves),
            "    ]",
            *_loop(),
            f'            batch = {{"images": x[chosen], "segmentation_masks": {masks}}}',
            "            for move in moves:",
            "                batch = move(batch, training=True)",
            '            yield batch["images"], batch["segmentation_masks"]',
        ]
    )


def _loop() -> list[str]:
    return [
        "    while True:",
        "        order = np.random.permutation(len(x))",
        "        for start in range(0, len(x), batch_size):",
        "            chosen = order[start : start + batch_size]",
    ]
