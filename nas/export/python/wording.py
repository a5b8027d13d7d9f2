"""Names and docstrings of the functions of the exported program."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from nas.export.python.statements import Call, Statement, When, calls

__all__ = ["block_docstring", "block_name", "pooling", "unit_docstring", "unit_name"]

ACTIVATIONS = {
    "relu": "ReLU", "relu6": "ReLU6", "leaky_relu": "leaky ReLU", "elu": "ELU", "selu": "SELU",
    "gelu": "GELU", "silu": "SiLU", "hard_silu": "hard SiLU", "activation": "an activation",
}  # fmt: skip
"""Activations whose names in prose are not Keras' names; `activation` is a parameter."""

NUMBERS = ("No", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine", "Ten")


def unit_name(labels: Collection[str], taken: Collection[str]) -> str:
    """Return a name for a function of units."""
    name = _common(labels).replace("convolution", "conv").replace(" ", "_").replace("-", "_")
    return _free("conv_unit" if name == "conv" else name, taken)


def unit_docstring(labels: Collection[str], body: Sequence[Statement]) -> str:
    """Return a sentence that lists the normalizations and activations of a unit in their order."""
    label = _common(labels)
    steps = [step for call in calls(body) for step in _steps(call)]
    others = _joined(list(dict.fromkeys(filter(None, steps))))
    link = "after" if steps[0] else "followed by" if steps.count("") == 1 else "with"
    return f"{label[:1].upper()}{label[1:]}{f', {link} {others}' if others else ''}."


def block_name(kind: str, labels: Collection[str], body: Sequence[Statement], taken: Collection[str]) -> str:
    """Return a name for a function of blocks; an empty `kind` is replaced by the kind of the units."""
    inputs = {name for call in calls(body) for name in call.inputs}
    if not kind:
        kind = _common(labels).removesuffix("convolution").removeprefix("standard").strip().replace(" ", "_")
    words = [kind] * bool(kind) + ["residual"] * ("shortcut" in inputs)
    return _free("_".join([*(words or ["conv"]), "block"]), taken)


def block_docstring(
    kind: str, labels: Collection[str], count: int, extras: list[str], body: Sequence[Statement]
) -> str:
    """Return a sentence that lists the content of a block.

    `count` is the number of units, 0 if it varies; `extras` are the other parts of the block.
    """
    label = _common(labels) + "s" * (count != 1)
    counted = f"{NUMBERS[count] if count < len(NUMBERS) else count} {label}"
    text = counted if count else label[:1].upper() + label[1:]
    text = _joined([text, *extras])
    if kind == "decoder":
        return f"{text}; {'the last one' if count != 1 else 'it'} doubles the size of the map."
    shortcuts = [one for one in body if any(call.output == "shortcut" for call in calls([one]))]
    if len(shortcuts) < 2:
        return f"{text} around a shortcut." if shortcuts else f"{text}."
    projected = "a shortcut, projected where its shape differs"
    return f"{text} around {projected if isinstance(shortcuts[1], When) else 'a projected shortcut'}."


def _common(labels: Collection[str]) -> str:
    """Return the label that all units share, else 'convolution'."""
    return next(iter(labels)) if len(set(labels)) == 1 else "convolution"


def _free(name: str, taken: Collection[str]) -> str:
    """Return the name, with a number if it is taken."""
    number, candidate = 1, name
    while candidate in taken:
        number += 1
        candidate = f"{name}_{number}"
    return candidate


def pooling(classes: Collection[str]) -> list[str]:
    """Return a name for the pooling of blocks, from the classes that they use; none for no class."""
    kinds = [name.removeprefix("layers.").partition("Pooling")[0].lower() for name in classes]
    return [f"{kinds[0]} pooling" if len(kinds) == 1 else "pooling"] if kinds else []


def _steps(call: Call) -> list[str]:
    """Return the names of a layer and its activation; '' stands for a convolution."""
    if call.function == "layers.BatchNormalization":
        return ["batch normalization"]
    function = dict(call.arguments).get("activation")
    activation = [ACTIVATIONS.get(function, function)] if function else []
    return activation if call.function == "layers.Activation" else ["", *activation]


def _joined(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
