"""What the exported source calls its functions and says about them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from nas.export.python.statements import Call, Code, Scaled, Statement, calls

__all__ = ["block_about", "block_name", "decoder_about", "decoder_name", "pooling", "unit_about", "unit_name"]

UNITS = {
    "standard": "standard_conv",
    "separable": "separable_conv",
    "depthwise_pointwise": "depthwise_separable_conv",
    "inverted_bottleneck": "inverted_bottleneck",
    "transposed": "transposed_conv",
    "mixed": "conv_unit",
}

BLOCKS = {
    "standard": "conv",
    "separable": "separable",
    "depthwise_pointwise": "depthwise_separable",
    "inverted_bottleneck": "inverted",
    "mixed": "conv",
}

CONVOLUTIONS = {
    "standard": "convolution",
    "separable": "separable convolution",
    "depthwise_pointwise": "depthwise separable convolution",
    "inverted_bottleneck": "inverted bottleneck",
    "transposed": "transposed convolution",
    "mixed": "convolution",
}

ACTIVATIONS = {
    "relu": "ReLU", "relu6": "ReLU6", "leaky_relu": "leaky ReLU", "elu": "ELU", "selu": "SELU",
    "gelu": "GELU", "silu": "SiLU", "hard_silu": "hard SiLU", "tanh": "tanh",
}  # fmt: skip

NUMBERS = ("No", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine", "Ten")


def capitalized(text: str) -> str:
    return text[:1].upper() + text[1:]


def counted(number: object, noun: str) -> str:
    """Write a number of things: 'Two convolutions'; 'Convolutions' where the number is a variable."""
    if not isinstance(number, int):
        return capitalized(f"{noun}s")
    word = NUMBERS[number] if number < len(NUMBERS) else str(number)
    return f"{word} {noun}" + ("s" if number != 1 else "")


def unit_name(kinds: Iterable[str], body: Sequence[Statement], taken: Iterable[str]) -> str:
    """Name a unit's function after its convolutions."""
    name = UNITS[_kind(kinds)]
    expands = any(isinstance(value, Scaled) for call in calls(body) for _, value in call.arguments)
    if name == "inverted_bottleneck" and not expands:
        name = "separable_bottleneck"
    return _free(name, taken)


def pooling(functions: Iterable[str]) -> str:
    """Say how a block pools, from the classes of its pooling layers, '' for none."""
    found = {name.removeprefix("layers.").partition("Pooling")[0] for name in functions if name}
    return f"{found.pop().lower()} pooling" if len(found) == 1 else "pooling" if found else ""


def _kind(kinds: Iterable[str]) -> str:
    found = set(kinds)
    if found == {"depthwise_pointwise", "inverted_bottleneck"}:
        return "depthwise_pointwise"  # an inverted bottleneck that does not expand
    return found.pop() if len(found) == 1 else "mixed"


def _free(name: str, taken: Iterable[str]) -> str:
    """Add a number to a name that is taken."""
    used, number, candidate = set(taken), 1, name
    while candidate in used:
        number += 1
        candidate = f"{name}_{number}"
    return candidate


def block_name(kinds: Iterable[str], traits: Sequence[str], residual: bool, taken: Iterable[str]) -> str:
    """Name a block's function after its convolutions and its shortcut; after its traits if need be."""
    kind = _kind(kinds)
    words = BLOCKS[kind]
    if residual:
        words = "residual" if kind in ("standard", "mixed") else f"{words}_residual"
    name, used = f"{words}_block", set(taken)
    for trait in traits:
        if name in used:
            name = f"{trait}_{name}"
    return _free(name, used)


def unit_about(kinds: Iterable[str], body: Sequence[Statement]) -> str:
    """Say what a unit does, layer after layer."""
    kind = _kind(kinds)
    steps = [word for call in calls(body) for word in _steps(call)]
    places = [place for place, step in enumerate(steps) if step == CONVOLUTION]
    before, after = steps[: places[0]], steps[places[-1] + 1 :]
    if kind == "inverted_bottleneck":
        first = "Expand the channels, filter each" if len(places) == 3 else "Filter each channel"
        used = dict.fromkeys(step for step in steps if step != CONVOLUTION)
        return f"{first} and project" + (f", with {_joined(list(used))}." if used else ".")
    words = "depthwise and a 1x1 convolution" if kind == "depthwise_pointwise" else CONVOLUTIONS[kind]
    each = "each " if kind == "depthwise_pointwise" else ""
    if before:
        return f"A {words}, {each}after {_joined(before)}."
    return f"A {words}, {each}followed by {_joined(after)}." if after else f"A {words}."


CONVOLUTION = "convolution"


def _steps(call: Call) -> list[str]:
    """Say what a layer is and which activation it has."""
    arguments = dict(call.arguments)
    if call.function == "layers.BatchNormalization":
        return ["batch normalization"]
    if call.function == "layers.Activation":
        return [_activation(arguments["function"])]
    used = arguments.get("activation")
    return [CONVOLUTION] if used is None else [CONVOLUTION, _activation(used)]


def _activation(function: object) -> str:
    return "an activation" if isinstance(function, Code) else ACTIVATIONS[str(function)]


def _joined(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def block_about(kinds: Iterable[str], count: object, shrink: str, shortcut: str, excitation: bool) -> str:
    """Say what a block does in one sentence.

    `shrink` is '', 'strided' or the pooling; `shortcut` is '', 'identity', 'projected' or 'mixed'.
    """
    words = counted(count, CONVOLUTIONS[_kind(kinds)])
    if shrink == "strided":
        words += ", the first of them strided," if count != 1 else " with a stride"
    followers = ["squeeze-and-excitation"] * excitation + [shrink] * ("pooling" in shrink)
    if followers:
        words = words.removesuffix(",") + " and " + " and ".join(followers)
    around = {
        "identity": " around a shortcut",
        "projected": " around a projected shortcut",
        "mixed": " around a shortcut, projected where its shape differs",
    }
    return (words + around.get(shortcut, "")).removesuffix(",") + "."


def decoder_name(taken: Iterable[str]) -> str:
    return _free("decoder_block", taken)


def decoder_about(kinds: Iterable[str], count: object, skip: bool) -> str:
    """Say what a step of a decoder does in one sentence."""
    words = counted(count, CONVOLUTIONS[_kind(kinds)])
    last = "the last of them doubling" if count != 1 else "doubling"
    joined = ", joined to the encoder's map of that size" if skip else ""
    return f"{words}, {last} the map's height and width{joined}."
