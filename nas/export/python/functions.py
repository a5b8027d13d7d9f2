"""The program of a network: functions for repeated units and blocks, and the statements that call them.

The structure comes from the spans that `nas.architecture` records and from the inputs of the layers: in a
span, `x` is the output of the last layer, `shortcut` the input of the span, and `skip` a map of the encoder.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from nas.architecture import BIASED_KINDS, Architecture, Span
from nas.export.python.layer_calls import layer_call
from nas.export.python.loops import find_loops, merge_repeats
from nas.export.python.optional_calls import align
from nas.export.python.statements import (
    ANY,
    Call,
    Code,
    Repeat,
    Statement,
    When,
    calls,
    form,
    generalize,
    substitute,
)
from nas.export.python.wording import block_docstring, block_name, pooling, unit_docstring, unit_name

__all__ = ["REQUIRED", "Function", "Program", "programs"]

REQUIRED = object()
"""The default of a parameter that has none."""

DEFAULTS: Mapping[str, Any] = {
    "stride": 1, "dilation": 1, "groups": 1, "depth_multiplier": 1, "use_bias": True, "padding": "valid",
    "crop": None, "pool": None,
}  # fmt: skip
"""Defaults of parameters, where at least one call has this value."""

ORDER = ("conv", "width", "ratio", "kernel_size", "convs", "expansion", "stride", "pool")
"""The first parameters of a function; the others follow in alphabetical order."""

STORE = Call("skips.append", output="", layer=False)
"""Stores a map of the encoder for the decoder."""


@dataclass(frozen=True)
class Function:
    """A function of the program; the values that differ between its calls are its parameters."""

    name: str
    docstring: str
    inputs: tuple[str, ...]
    parameters: Mapping[str, Any]  # name -> default or REQUIRED
    body: tuple[Statement, ...]


@dataclass(frozen=True)
class Program:
    """The statements of `build_model` between its input and its output, and the functions that they call."""

    functions: tuple[Function, ...]
    body: tuple[Statement, ...]
    stores_maps: bool  # whether maps of the encoder are stored in the list `skips`


def programs(architecture: Architecture) -> Iterator[Program]:
    """Yield equivalent programs of a canonical architecture; which of them is shortest depends on it."""
    layers, spans = architecture.layers, architecture.spans
    mixed = {"conv", "separable_conv"} <= {layer.kind for layer in layers}
    plain = all(layer.groups == layer.depth_multiplier == 1 for layer in layers)
    starts = {span.start for span in spans if span.kind == "block"}
    several = any(span.kind == "unit" and span.start not in starts for span in spans)
    for general in (False, True) if mixed and plain else (False,):
        for separate_first in (False, True) if several else (False,):
            yield _Writer(architecture, general, separate_first).program()


@dataclass
class _Part:
    """A span, the statements that stand for it, and the spans in it that have functions."""

    span: Span
    statements: list[Statement]
    inner: list[Span]

    def reads(self, name: str) -> bool:
        """Check whether a statement reads a variable."""
        return any(name in call.inputs for call in calls(self.statements))

    def fixed(self) -> list[Statement]:
        """Return the statements that all blocks with a common function have."""
        return [one for one in self.statements if not (isinstance(one, Call) and one.optional)]


class _Writer:
    """Writes a network as a program.

    `general` lets one function take standard and separable convolutions; `separate_first` keeps the first
    convolution of a block out of the loop over its convolutions.
    """

    def __init__(self, architecture: Architecture, general: bool, separate_first: bool) -> None:
        self.layers = architecture.layers
        self.spans = architecture.spans
        self.general = general
        self.separate_first = separate_first
        self.widths: dict[int, tuple[str, Any]] = {}  # of layers whose width is relative to their input's
        self.stored: set[int] = set()  # layers whose output the decoder reads
        for span in self.spans:
            layers = self.layers[span.start : span.end]
            widened = [i for i, layer in enumerate(layers, span.start) if layer.kind in BIASED_KINDS]
            if span.kind == "expansion":
                self.widths[widened[0]] = "expansion", int(span.ratio)
            elif span.kind == "squeeze_excitation":
                self.widths[widened[0]] = "ratio", span.ratio
                self.widths[widened[1]] = "channels", Code("shortcut.shape[-1]")
            elif span.kind == "decoder_block":
                sources = {i for layer in layers for i in layer.inputs if i < span.start}
                self.stored |= sources.difference(layers[0].inputs)
        self.unit_functions: dict[str, tuple[Function, list[str]]] = {}  # with the labels of their units
        self.block_functions: list[Function] = []

    def program(self) -> Program:
        """Return the program."""
        body = self._statements(1, len(self.layers), self._blocks(self._units()))
        return self._inlined(find_loops(body))

    def _statements(self, start: int, end: int, parts: Mapping[int, _Part]) -> list[Statement]:
        """Return the statements for consecutive layers; `parts` are the spans in them, by their start."""
        found: list[Statement] = []
        index, current = start, self.layers[start].inputs[0] if start < end else 0
        variables = {current: "shortcut"}
        activable = False  # whether an activation can become an argument of the last call
        while index < end:
            layer = self.layers[index]
            if part := parts.get(index):
                found.extend(part.statements)
                index, current, activable = part.span.end, part.span.end - 1, False
            else:
                inputs = tuple("x" if i == current else variables.get(i, "skip") for i in layer.inputs)
                output = inputs[0] if len(inputs) == 1 else "x"
                if activable and layer.kind == "activation":
                    call = found.pop()
                    assert isinstance(call, Call)
                    arguments = dict(call.arguments) | {"activation": layer.function}
                    found.append(replace(call, arguments=tuple(arguments.items())))
                else:
                    before = self.layers[layer.inputs[0]].shape
                    call = layer_call(layer, before, self.widths.get(index), self.general)
                    optional = output if output != "x" else "join" if "skip" in inputs else call.optional
                    found.append(replace(call, inputs=inputs, output=output, optional=optional))
                if output == "x":
                    current = index
                else:
                    variables[index] = output
                activable = layer.kind in BIASED_KINDS
                index += 1
            if index - 1 in self.stored and index < end:
                found.append(STORE)
        return found

    def _units(self) -> dict[int, _Part]:
        """Make a function for each form of unit; return the call of each unit, by the span's start."""
        parts = [
            _Part(span, _with_shortcut(self._statements(span.start, span.end, {})), [span])
            for span in self.spans
            if span.kind in ("unit", "squeeze_excitation")
        ]
        for number, group in enumerate(_groups(parts, lambda part: tuple(map(form, part.statements)))):
            template, variables = generalize([part.statements for part in group], {"width"})
            name = f"unit {number}"  # until it is known which functions are needed
            function = _function(name, "", ("x",), template, variables)
            self.unit_functions[name] = function, [part.span.label for part in group]
            for index, part in enumerate(group):
                part.statements = [Repeat(1, (_call_of(function, variables, index, ("x",)),))]
        return {part.span.start: part for part in parts}

    def _blocks(self, units: Mapping[int, _Part]) -> dict[int, _Part]:
        """Make a function for blocks of the same form; return the statements of each block, by its start."""
        parts: list[_Part] = []
        for span in self.spans:
            if span.kind in ("block", "decoder_block"):
                found = self._statements(span.start, span.end, units)
                separate = self.separate_first and span.kind == "block"
                found = _with_shortcut(merge_repeats(found, first=int(separate)))
                inner = [units[i].span for i in range(span.start, span.end) if i in units]
                parts.append(_Part(span, found, inner))
        for group in _groups(parts, lambda part: (part.span.kind, tuple(map(form, part.fixed())))):
            small = len(group[0].inner) == sum(one != STORE for one in group[0].fixed()) == 1
            if len(group) > 1 and not small:
                self._add_block_function(group)
                continue
            for part in group:
                if part.reads("skip"):
                    part.statements.insert(0, Call("", (), ("skips.pop()",), "skip", layer=False))
        return {part.span.start: part for part in parts}

    def _add_block_function(self, group: Sequence[_Part]) -> None:
        """Add the function of a group of blocks, and replace each block's statements with its call."""
        bodies = align([part.statements for part in group])
        conditional = any(isinstance(statement, When) for statement in bodies[0])
        template, variables = generalize(bodies, {"width", "crop", "pool"} if conditional else {"width"})
        stores, joins = STORE in template, any(part.reads("skip") for part in group)
        inputs = ("x", *["skips"] * stores, *["skip"] * joins)
        labels = [span.label for part in group for span in part.inner if span.kind == "unit"]
        extras = [span.label for span in group[0].inner if span.kind != "unit"]
        counts = {len(part.inner) - len(extras) for part in group}
        pools = {call.function for part in group for call in calls(part.statements) if call.role == "pool"}
        kind = "decoder" if group[0].span.kind == "decoder_block" else ""
        name = block_name(kind, labels, template, [function.name for function in self.block_functions])
        count = counts.pop() if len(counts) == 1 else 0
        docstring = block_docstring(kind, labels, count, [*extras, *pooling(pools)], template)
        function = _function(name, docstring, inputs, template, variables)
        self.block_functions.append(function)
        for index, part in enumerate(group):
            skip = "skips.pop()" if part.reads("skip") else "None"
            arguments = ("x", *["skips"] * stores, *[skip] * joins)
            part.statements = [_call_of(function, variables, index, arguments)]

    def _inlined(self, body: tuple[Statement, ...]) -> Program:
        """Write units of one statement, or with one call in the text, in place; name the other functions."""
        bodies = [*(function.body for function in self.block_functions), body]
        sites = [call.function for statements in bodies for call in calls(statements)]
        functions: dict[str, Function] = {}
        inline: dict[str, Function] = {}
        for name, (function, labels) in self.unit_functions.items():
            has_variables = any(call.output != "x" for call in calls(function.body))
            if len(function.body) == 1 or (sites.count(name) == 1 and not has_variables):
                inline[name] = function
            else:
                new = unit_name(labels, [other.name for other in functions.values()])
                functions[name] = replace(function, name=new, docstring=unit_docstring(labels, function.body))
        names = {old: function.name for old, function in functions.items()}
        blocks = [replace(one, body=_expanded(one.body, inline, names)) for one in self.block_functions]
        return Program(
            (*functions.values(), *blocks), _expanded(body, inline, names), stores_maps=bool(self.stored)
        )


def _groups(parts: Sequence[_Part], key: Callable[[_Part], Hashable]) -> list[list[_Part]]:
    """Group the parts by a key, in the order in which the keys appear."""
    found: dict[Hashable, list[_Part]] = {}
    for part in parts:
        found.setdefault(key(part), []).append(part)
    return list(found.values())


def _with_shortcut(statements: list[Statement]) -> list[Statement]:
    """Store the input of a span as `shortcut` if a statement reads it."""
    reads = any("shortcut" in call.inputs for call in calls(statements))
    return [*([Call("", output="shortcut", layer=False)] if reads else []), *statements]


def _function(
    name: str,
    docstring: str,
    inputs: tuple[str, ...],
    body: tuple[Statement, ...],
    variables: Mapping[str, tuple[Any, ...]],
) -> Function:
    """Return a function whose parameters are the variables of its body."""
    order = {parameter: index for index, parameter in enumerate(ORDER)}
    parameters = {
        variable: DEFAULTS[variable] if DEFAULTS.get(variable, ANY) in variables[variable] else REQUIRED
        for variable in sorted(variables, key=lambda one: (order.get(one, len(ORDER)), one))
    }
    required_first = sorted(parameters.items(), key=lambda item: item[1] is not REQUIRED)
    return Function(name, docstring, inputs, dict(required_first), body)


def _call_of(
    function: Function, variables: Mapping[str, tuple[Any, ...]], index: int, inputs: tuple[str, ...]
) -> Call:
    """Return the call of a function with one row of the values of its variables."""
    arguments = tuple((name, variables[name][index]) for name in function.parameters)
    return Call(function.name, arguments, inputs, layer=False)


def _expanded(
    body: Sequence[Statement], inline: Mapping[str, Function], names: Mapping[str, str]
) -> tuple[Statement, ...]:
    """Replace calls of functions with their bodies, or with calls under their final names."""
    found: list[Statement] = []
    for one in body:
        if not isinstance(one, Call):
            inner = _expanded(one.body, inline, names)
            once = isinstance(one, Repeat) and one.count == 1 and not one.columns
            found.extend(inner if once else [replace(one, body=inner)])
        elif one.function in inline:
            found.extend(substitute(step, dict(one.arguments)) for step in inline[one.function].body)
        else:
            found.append(replace(one, function=names.get(one.function, one.function)))
    return tuple(found)
