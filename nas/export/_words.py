"""What the exported source calls its functions and says about them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from nas.export._statements import Call, Code, Statement, calls

__all__ = ["block_about", "block_name", "capitalized", "counted", "decoder_about", "decoder_name", "unit_about", "unit_name"]

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


def unit_name(kinds: Iterable[str], taken: Iterable[str]) -> str:
    return _free(UNITS[_kind(kinds)], taken)


def _kind(kinds: Iterable[str]) -> str:
    found = set(kinds)
    return found.pop() if len(found) == 1 else "mixed"


def _free(name: str, taken: Iterable[str]) -> str:
    """Add a number to a name that is taken."""
    used, number, candidate = set(taken), 1, name
    while candidate in used:
        number += 1
        candidate = f"{name}_{number}"
    return candidate


def block_name(kinds: Iterable[str], shrink: str, residual: bool, taken: Iterable[str]) -> str:
    """Name a block's function after its convolutions and its shortcut; after how it shrinks if need be."""
    kind = _kind(kinds)
    words = BLOCKS[kind]
    if residual:
        words = "residual" if kind in ("standard", "mixed") else f"{words}_residual"
    used = set(taken)
    name = f"{words}_block"
    if name in used and shrink:
        name = f"{shrink}_{name}"
    return _free(name, used)


def unit_about(body: Sequence[Statement]) -> str:
    """Say what a unit does, layer after layer."""
    words: list[str] = []
    for call in calls(body):
        arguments = dict(call.arguments)
        name = call.function.removeprefix("layers.")
        if name == "BatchNormalization":
            words.append("batch normalization")
        elif name == "Activation":
            words.append(_activation(arguments["function"]))
        else:
            words.append(_convolution(call, name))
        if arguments.get("activation") is not None:
            words.append(_activation(arguments["activation"]))
    return capitalized(", ".join(words)) + "."


def _activation(function: object) -> str:
    return "activation" if isinstance(function, Code) else ACTIVATIONS[str(function)]


def _convolution(call: Call, name: str) -> str:
    for start, word in (("Separable", "separable "), ("Depthwise", "depthwise "), ("Conv", "")):
        if name.startswith(start):
            point = str(dict(call.arguments).get("kernel_size")) == "Fixed(value=1)"
            transposed = "transposed " if name.endswith("Transpose") else ""
            return ("1x1 " if point else transposed + word) + "convolution"
    return "convolution"


def block_about(
    kinds: Iterable[str], count: object, shrink: str, shortcut: str, excitation: bool
) -> str:
    """Say what a block does in one sentence.

    `shrink` is '', 'pooled' or 'strided'; `shortcut` is '', 'identity', 'projected' or 'mixed'.
    """
    words = counted(count, CONVOLUTIONS[_kind(kinds)])
    if shrink == "strided":
        words += ", the first of them strided" if count != 1 else " with a stride"
    followers = ["squeeze-and-excitation"] * excitation + ["pooling"] * (shrink == "pooled")
    if followers:
        words += " and " + " and ".join(followers)
    around = {
        "identity": " around a shortcut",
        "projected": " around a projected shortcut",
        "mixed": " around a shortcut, projected where its shape differs",
    }
    return words + around.get(shortcut, "") + "."


def decoder_name(taken: Iterable[str]) -> str:
    return _free("decoder_block", taken)


def decoder_about(kinds: Iterable[str], count: object, skip: bool) -> str:
    """Say what a step of a decoder does in one sentence."""
    words = counted(count, CONVOLUTIONS[_kind(kinds)])
    last = "the last of them doubling" if count != 1 else "doubling"
    joined = ", then the encoder's map of the same size" if skip else ""
    return f"{words}, {last} the map's height and width{joined}."
