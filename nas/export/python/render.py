"""From statements to text, formatted as ruff and Black format it."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from nas.export.python.statements import ANY, Call, Code, Fixed, Repeat, Scaled, Statement, When
from nas.export.python.units import REQUIRED, Function

__all__ = ["LINE", "body_lines", "function_text", "statement_lines", "value_text"]

LINE = 100
INDENT = "    "

KERAS_DEFAULTS: Mapping[str, tuple[Any, ...]] = {
    "strides": (1, None),
    "padding": ("valid",),
    "dilation_rate": (1,),
    "groups": (1,),
    "depth_multiplier": (1,),
    "activation": (None,),
    "use_bias": (True,),
    "keepdims": (False,),
    "momentum": (0.99,),
}
"""Arguments that are left out at these values."""

POSITIONAL = frozenset(
    {
        "cropping", "factor", "filters", "function", "kernel_size", "mode", "pool_size", "rate", "scale",
        "units",
    }
)  # fmt: skip
"""Arguments of Keras' layers that are written without their name."""

PLAIN = frozenset({"conv", "skip", "skips", "width", "ratio"})
"""Arguments of the program's own functions that are written without their name."""


def value_text(value: Any) -> str:
    """Write a value as Python."""
    if isinstance(value, Code):
        return str(value)
    if isinstance(value, Fixed):
        return value_text(value.value)
    if isinstance(value, Scaled):
        return "x.shape[-1]" if value.factor == 1 else f"{value_text(value.factor)} * x.shape[-1]"
    if isinstance(value, tuple):
        return "(" + ", ".join(map(value_text, value)) + ("," if len(value) == 1 else "") + ")"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return repr(value)


def _layer_arguments(call: Call) -> list[str]:
    found: list[str] = []
    for name, value in call.arguments:
        if value is ANY and name == "pool_size":
            value = 2
        if value is ANY or (not isinstance(value, Code) and value in KERAS_DEFAULTS.get(name, ())):
            continue
        text = value_text(value)
        found.append(text if name in POSITIONAL else f"{name}={text}")
    return found


def _own_arguments(call: Call, functions: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Write the arguments of one of the program's functions, those at their default left out."""
    parameters = functions.get(call.function, {})
    found, named = list(call.inputs), False
    for name, value in call.arguments:
        default = parameters.get(name, REQUIRED)
        if default is not REQUIRED and not isinstance(value, Code) and value == default:
            continue
        text = value_text(value)
        plain = name in PLAIN or (name == "kernel_size" and text == name)
        found.append(text if plain and not named else f"{name}={text}")
        named = named or not plain
    return found


def call_lines(call: Call, functions: Mapping[str, Mapping[str, Any]], indent: str, start: str) -> list[str]:
    """Write a call, over several lines where it is too long for one."""
    if not call.layer:
        return wrapped_call(f"{start}{call.function}", _own_arguments(call, functions), "", indent)
    inputs = call.inputs[0] if len(call.inputs) == 1 else f"[{', '.join(call.inputs)}]"
    arguments = _layer_arguments(call)
    line = f"{indent}{start}{call.function}({', '.join(arguments)})({inputs})"
    if len(line) <= LINE:
        return [line]
    if len(line) - len(inputs) - 1 > LINE:
        return wrapped_call(f"{start}{call.function}", arguments, f"({inputs})", indent)
    made = wrapped_call(f"layer = {call.function}", arguments, "", indent)
    return [*made, f"{indent}{start}layer({inputs})"]


def wrapped_call(start: str, arguments: Sequence[str], end: str, indent: str) -> list[str]:
    """Write `start(arguments)end` in as few lines as the line's length allows."""
    inner = ", ".join(arguments)
    if len(f"{indent}{start}({inner}){end}") <= LINE:
        return [f"{indent}{start}({inner}){end}"]
    if len(indent + INDENT + inner) <= LINE:
        body = [f"{indent}{INDENT}{inner}"]
    else:
        body = [f"{indent}{INDENT}{argument}," for argument in arguments]
    return [f"{indent}{start}(", *body, f"{indent}){end}"]


def statement_lines(
    statement: Statement, functions: Mapping[str, Mapping[str, Any]], indent: str, last: bool = False
) -> list[str]:
    """Write a statement; the last of a function, if a call, as what is returned."""
    match statement:
        case Call(function=""):
            return [f"{indent}{statement.output} = {statement.inputs[0]}"]
        case Call():
            start = "return " if last else f"{statement.output} = " if statement.output else ""
            return call_lines(statement, functions, indent, start)
        case Repeat(count=1, columns=()):
            return body_lines(statement.body, functions, indent, last)
        case Repeat():
            return [*_header(statement, indent), *body_lines(statement.body, functions, indent + INDENT)]
        case When():
            inner = body_lines(statement.body, functions, indent + INDENT)
            return [f"{indent}if {statement.condition}:", *inner]


def _header(loop: Repeat, indent: str) -> list[str]:
    if not loop.columns:
        return [f"{indent}for _ in range({value_text(loop.count)}):"]
    names = ", ".join(name for name, _ in loop.columns)
    if len(loop.columns) == 1:
        rows = [value_text(value) for value in loop.columns[0][1]]
    else:
        rows = [value_text(row) for row in zip(*(values for _, values in loop.columns), strict=True)]
    line = f"{indent}for {names} in ({', '.join(rows)}):"
    if len(line) <= LINE:
        return [line]
    return [f"{indent}for {names} in (", *(f"{indent}{INDENT}{row}," for row in rows), f"{indent}):"]


def body_lines(
    body: Sequence[Statement], functions: Mapping[str, Mapping[str, Any]], indent: str, last: bool = False
) -> list[str]:
    """Write statements one after the other; with `last`, the last one is returned."""
    found: list[str] = []
    for place, statement in enumerate(body):
        final = last and place == len(body) - 1
        found.extend(statement_lines(statement, functions, indent, final))
    if last and not _returns(body[-1]):
        found.append(f"{indent}return x")
    return found


def _returns(statement: Statement) -> bool:
    """Say whether a statement, as a function's last, is written as a return."""
    if isinstance(statement, Repeat) and statement.count == 1 and not statement.columns:
        return True
    return isinstance(statement, Call)


def docstring(text: str, indent: str) -> list[str]:
    """Write a docstring of one sentence, on one line if it fits."""
    if len(indent + text) + 6 <= LINE:
        return [f'{indent}"""{text}"""']
    width = LINE - len(indent)
    lines = textwrap.wrap(f'"""{text}', width, break_long_words=False)
    if len(lines) == 1:
        lines = textwrap.wrap(f'"""{text}', width - 10, break_long_words=False)
    return [*(indent + line for line in lines), f'{indent}"""']


def function_text(function: Function, functions: Mapping[str, Mapping[str, Any]]) -> str:
    """Write a whole function."""
    parameters = [
        name if default is REQUIRED else f"{name}={value_text(default)}"
        for name, default in function.parameters.items()
    ]
    head = wrapped_call(f"def {function.name}", ["x", *parameters], ":", "")
    body = body_lines(function.body, functions, INDENT, last=True)
    return "\n".join([*head, *docstring(function.about, INDENT), *body])
