"""From an architecture to a program: functions for what repeats, and the statements of `build_model`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from nas.architecture import Architecture, Decoder, Layer
from nas.export.python import calls as _calls
from nas.export.python.block_functions import KEEP, functions
from nas.export.python.calls import Block, DecoderBlock, Excitation
from nas.export.python.statements import Call, Code, Repeat, Statement, calls, renamed, rolled, substituted
from nas.export.python.units import Function

__all__ = ["Program", "program"]


@dataclass(frozen=True)
class Program:
    """What `build_model` does between its input and its output, and the functions it needs."""

    functions: tuple[Function, ...]
    body: tuple[Statement, ...]
    output: Call | None  # the last layer, where there is a head
    excitations: frozenset[Excitation]
    skips: bool  # whether the encoder's maps are kept for the decoder
    passed: frozenset[str] = frozenset()  # functions that are passed to others


def program(architecture: Architecture) -> Program:
    """Write an architecture, which should be canonical, as a program of the same layers in the same order."""
    layers = architecture.layers
    sections = _calls.sections(layers)
    kept = _kept_maps(layers, sections)
    blocks: dict[str, Block | DecoderBlock] = {}
    for name, places in sections:
        if name.startswith("stage") and not name.endswith("dropout"):
            part = architecture.stages[int(name.split("_")[0].removeprefix("stage")) - 1]
            blocks[name] = _calls.block(layers, name, places, part, kept)
        elif _is_decoder(name):
            decoder = architecture.decoder or Decoder()
            blocks[name] = _calls.decoder_block(layers, name, places, decoder)
    unit_functions, block_functions, statements = functions(list(blocks.values()))
    of_block = dict(zip(blocks, statements, strict=True))
    body: list[Statement] = []
    for name, places in sections[1:]:
        if name in blocks:
            body.extend(of_block[name])
        elif name not in ("head", "output"):
            body.extend(_calls.calls_of(layers, places))
        if places[-1] in kept:
            body.append(KEEP)
    last = [place for name, places in sections if name in ("head", "output") for place in places]
    head = _calls.calls_of(layers, last)
    output = replace(head[-1], output="outputs") if head else None
    rows = rolled([*body, *head[:-1]])
    kept_units, bodies = _inlined(unit_functions, [*(function.body for function in block_functions), rows])
    block_functions = [
        replace(function, body=inner) for function, inner in zip(block_functions, bodies[:-1], strict=True)
    ]
    excitations = {
        block.excitation for block in blocks.values() if isinstance(block, Block) and block.excitation
    }
    return Program(
        functions=(*kept_units, *block_functions),
        body=bodies[-1],
        output=output,
        excitations=frozenset(excitations),
        skips=bool(kept),
        passed=frozenset(function.name for function in kept_units if function.name in _values(rows)),
    )


def _is_decoder(name: str) -> bool:
    return name.startswith("decoder") and name != "decoder"


def _kept_maps(layers: Sequence[Layer], sections: Sequence[tuple[str, list[int]]]) -> set[int]:
    """Find the layers of the encoder whose output the decoder joins."""
    found: set[int] = set()
    for name, places in sections:
        if _is_decoder(name):
            sources = {source for place in places for source in layers[place].inputs}
            found |= sources - set(places) - {places[0] - 1}
    return found


def _inlined(
    functions: list[Function], bodies: list[tuple[Statement, ...]]
) -> tuple[list[Function], list[tuple[Statement, ...]]]:
    """Write units of one layer, and those called at one place only, where they are called."""
    sites = [call.function for body in bodies for call in calls(body)]
    passed = {value for body in bodies for value in _values(body)}
    inline = {
        function.name: function
        for function in functions
        if function.name not in passed and (len(function.body) == 1 or sites.count(function.name) == 1)
    }
    kept = [function for function in functions if function.name not in inline]
    names = _renumbered([function.name for function in kept])
    return (
        [replace(function, name=names[function.name]) for function in kept],
        [tuple(renamed(step, names) for step in _expanded(body, inline)) for body in bodies],
    )


def _renumbered(names: Sequence[str]) -> dict[str, str]:
    """Number names of one stem anew, now that some are gone."""
    found: dict[str, str] = {}
    for name in names:
        stem = name.rstrip("0123456789").removesuffix("_")
        used = list(found.values())
        number = next(n for n in range(1, len(names) + 1) if (f"{stem}_{n}" if n > 1 else stem) not in used)
        found[name] = f"{stem}_{number}" if number > 1 else stem
    return found


def _values(body: Sequence[Statement]) -> set[str]:
    """Give the names of functions that are passed on as values."""
    found: set[str] = set()
    for statement in body:
        if isinstance(statement, Call):
            found.update(value for _, value in statement.arguments if isinstance(value, Code))
        elif isinstance(statement, Repeat):
            found.update(value for _, row in statement.columns for value in row if isinstance(value, Code))
        if not isinstance(statement, Call):
            found |= _values(statement.body)
    return found


def _expanded(body: Sequence[Statement], inline: Mapping[str, Function]) -> tuple[Statement, ...]:
    """Put a function's body in the place of its call."""
    found: list[Statement] = []
    for statement in body:
        if not isinstance(statement, Call):
            inner = _expanded(statement.body, inline)
            once = isinstance(statement, Repeat) and statement.count == 1 and not statement.columns
            found.extend(inner if once else [replace(statement, body=inner)])
        elif statement.function in inline:
            values = dict(statement.arguments)
            found.extend(substituted(step, values) for step in inline[statement.function].body)
        else:
            found.append(statement)
    return tuple(found)
