"""Statements as text, formatted as by ruff and Black."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from nas.export.python.functions import REQUIRED, Function
from nas.export.python.statements import ANY, Call, Code, Repeat, Statement, When

__all__ = ["LINE_LENGTH", "Parameters", "body_lines", "call_text", "function_text", "value_text"]

LINE_LENGTH = 100
INDENT = "    "

KERAS_DEFAULTS: Mapping[str, tuple[Any, ...]] = {
    "strides": (1, None), "padding": ("valid",), "dilation_rate": (1,), "groups": (1,),
    "depth_multiplier": (1,), "activation": (None,), "use_bias": (True,), "keepdims": (False,),
}  # fmt: skip
"""Values at which arguments of layers are left out."""

POSITIONAL = frozenset(
    {
        "channels", "cropping", "expansion", "filters", "height_factor", "kernel_size", "mode", "pool_size",
        "rate", "ratio", "units", "width_factor",
    }
)  # fmt: skip
"""Arguments of Keras' layers that are written without their name."""

FIRST_POSITIONAL = {
    "activation": ("layers.Activation",),
    "factor": ("layers.RandomRotation", "layers.RandomBrightness", "layers.RandomContrast"),
    "scale": ("layers.Rescaling",),
}
"""Arguments that only some layers take without their name."""

TEMPLATES = {"expansion": "{} * x.shape[-1]", "ratio": "max(1, round({} * x.shape[-1]))"}
"""Arguments that are written as an expression of their value."""

OWN_POSITIONAL = frozenset({"conv", "width", "ratio"})
"""Arguments of the program's own functions that are written without their name."""

Parameters = Mapping[str, Mapping[str, Any]]
"""The parameters of each function of the program, with their defaults."""


def value_text(value: Any) -> str:
    """Write a value as Python."""
    if isinstance(value, Code):
        return str(value)
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
        text = TEMPLATES.get(name, "{}").format(value_text(value))
        positional = name in POSITIONAL or call.function in FIRST_POSITIONAL.get(name, ())
        found.append(text if positional else f"{name}={text}")
    return found


def call_text(call: Call) -> str:
    """Write a layer without its input."""
    return f"{call.function}({', '.join(_layer_arguments(call))})"


def _own_arguments(call: Call, parameters: Mapping[str, Any]) -> list[str]:
    """Write the arguments of one of the program's functions, without those equal to their default."""
    found, named = list(call.inputs), False
    for name, value in call.arguments:
        default = parameters.get(name, REQUIRED)
        if default is not REQUIRED and not isinstance(value, Code) and value == default:
            continue
        text = value_text(value)
        positional = name in OWN_POSITIONAL or (name == "kernel_size" and text == name)
        found.append(text if positional and not named else f"{name}={text}")
        named = named or not positional
    return found


def _call_lines(call: Call, parameters: Parameters, indent: str, start: str) -> list[str]:
    """Write a call, on several lines if it is too long for one."""
    if not call.function:
        return [f"{indent}{start}{call.inputs[0]}"]
    if not call.layer:
        arguments = _own_arguments(call, parameters.get(call.function, {}))
        return _wrapped_call(f"{start}{call.function}", arguments, "", indent)
    inputs = call.inputs[0] if len(call.inputs) == 1 else f"[{', '.join(call.inputs)}]"
    arguments = _layer_arguments(call)
    line = f"{indent}{start}{call.function}({', '.join(arguments)})({inputs})"
    if len(line) <= LINE_LENGTH:
        return [line]
    if len(line) - len(inputs) - 1 > LINE_LENGTH:
        return _wrapped_call(f"{start}{call.function}", arguments, f"({inputs})", indent)
    made = _wrapped_call(f"layer = {call.function}", arguments, "", indent)
    return [*made, f"{indent}{start}layer({inputs})"]


def _wrapped_call(start: str, arguments: Sequence[str], end: str, indent: str) -> list[str]:
    """Write `start(arguments)end` on as few lines as the line length permits."""
    inner = ", ".join(arguments)
    if len(f"{indent}{start}({inner}){end}") <= LINE_LENGTH:
        return [f"{indent}{start}({inner}){end}"]
    if len(indent + INDENT + inner) <= LINE_LENGTH:
        body = [f"{indent}{INDENT}{inner}"]
    else:
        body = [f"{indent}{INDENT}{argument}," for argument in arguments]
    return [f"{indent}{start}(", *body, f"{indent}){end}"]


def _statement_lines(statement: Statement, parameters: Parameters, indent: str, start: str = "") -> list[str]:
    """Write a statement; `start` replaces the assignment of a call."""
    if isinstance(statement, Call):
        assignment = f"{statement.output} = " if statement.output else ""
        return _call_lines(statement, parameters, indent, start or assignment)
    body = body_lines(statement.body, parameters, indent + INDENT)
    if isinstance(statement, When):
        return [f"{indent}if {statement.test.format(value_text(statement.value))}:", *body]
    return [*_loop_header(statement, indent), *body]


def _loop_header(loop: Repeat, indent: str) -> list[str]:
    if not loop.columns:
        return [f"{indent}for _ in range({value_text(loop.count)}):"]
    names = ", ".join(name for name, _ in loop.columns)
    if len(loop.columns) == 1:
        rows = [value_text(value) for value in loop.columns[0][1]]
    else:
        rows = [value_text(row) for row in zip(*(values for _, values in loop.columns), strict=True)]
    line = f"{indent}for {names} in ({', '.join(rows)}):"
    if len(line) <= LINE_LENGTH:
        return [line]
    return [f"{indent}for {names} in (", *(f"{indent}{INDENT}{row}," for row in rows), f"{indent}):"]


def body_lines(
    body: Sequence[Statement], parameters: Parameters, indent: str, *, returns: bool = False
) -> list[str]:
    """Write consecutive statements; with `returns`, those of a function, which returns x."""
    found: list[str] = []
    for statement in body:
        is_result = returns and statement is body[-1] and isinstance(statement, Call)
        found.extend(_statement_lines(statement, parameters, indent, "return " if is_result else ""))
    if returns and not isinstance(body[-1], Call):
        found.append(f"{indent}return x")
    return found


def docstring_lines(text: str, indent: str) -> list[str]:
    """Write a docstring of one sentence, on one line if it fits."""
    if len(indent + text) + 6 <= LINE_LENGTH:
        return [f'{indent}"""{text}"""']
    width = LINE_LENGTH - len(indent)
    lines = textwrap.wrap(f'"""{text}', width, break_long_words=False)
    if len(lines) == 1:
        lines = textwrap.wrap(f'"""{text}', width - 10, break_long_words=False)
    return [*(indent + line for line in lines), f'{indent}"""']


def function_text(function: Function, parameters: Parameters) -> str:
    """Write a function."""
    arguments = [
        name if default is REQUIRED else f"{name}={value_text(default)}"
        for name, default in function.parameters.items()
    ]
    head = _wrapped_call(f"def {function.name}", [*function.inputs, *arguments], ":", "")
    body = body_lines(function.body, parameters, INDENT, returns=True)
    return "\n".join([*head, *docstring_lines(function.docstring, INDENT), *body])
