"""Blocks that are alike become one function, with a parameter for everything that differs between them."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from nas.export import _words
from nas.export._calls import Block, DecoderBlock, Unit
from nas.export._statements import (
    ANY,
    Call,
    Code,
    Statement,
    When,
    calls,
    filled,
    form,
    generalized,
    leaves,
    repeated,
)

__all__ = ["REQUIRED", "Function", "functions"]

REQUIRED = object()
"""In the place of a parameter's default: there is none."""

NEUTRAL: Mapping[str, Any] = {
    "stride": 1, "dilation": 1, "groups": 1, "depth_multiplier": 1, "use_bias": True,
    "padding": "valid", "pool": False, "crop": None, "skip": None,
}  # fmt: skip
"""Parameters that get this default, where some call can leave them out."""

ORDER = ("conv", "skip", "width", "kernel_size", "convs", "expansion", "stride", "pool")


@dataclass(frozen=True)
class Function:
    """A function of the program, of which x is the first parameter."""

    name: str
    about: str
    parameters: Mapping[str, Any]  # name -> default or REQUIRED
    body: tuple[Statement, ...]


def _function(
    name: str, about: str, template: tuple[Statement, ...], variables: Mapping[str, tuple[Any, ...]]
) -> tuple[Function, tuple[Call, ...]]:
    """Make a function of a template, and the call of it that stands for each instance."""
    places = {parameter: place for place, parameter in enumerate(ORDER)}
    order = sorted(variables, key=lambda variable: (places.get(variable, len(ORDER)), variable))
    defaults = {
        variable: NEUTRAL[variable]
        if variable in NEUTRAL and any(value in (NEUTRAL[variable], None) for value in variables[variable])
        else REQUIRED
        for variable in order
    }
    if None in variables.get("pool", ()):
        defaults["pool"] = None
    parameters = dict(sorted(defaults.items(), key=lambda item: item[1] is not REQUIRED))
    count = len(next(iter(variables.values())))
    made = [
        Call(name, tuple((variable, variables[variable][place]) for variable in parameters), layer=False)
        for place in range(count)
    ]
    return Function(name, about, parameters, template), tuple(made)


def functions(
    blocks: Sequence[Block | DecoderBlock],
) -> tuple[list[Function], list[Function], list[tuple[Statement, ...]]]:
    """Give the units' functions, the blocks' functions, and the statements that each block becomes."""
    opened = _with_open_classes(blocks)
    units = [unit for block in opened for unit in block.units]
    every = {_forms(unit) for unit in units}
    unit_functions, unit_calls = _unit_functions(opened, {key: every for key in every})
    steps = [_steps(block, opened, unit_calls) for block in opened]
    partners = {key: {key} for key in every}
    for places in _groups(opened, steps):
        together = {_forms(unit) for place in places for unit in opened[place].units}
        for key in together:
            partners[key] |= together
    unit_functions, unit_calls = _unit_functions(opened, partners)
    steps = [_steps(block, opened, unit_calls) for block in opened]
    block_functions: list[Function] = []
    statements: list[tuple[Statement, ...]] = [()] * len(opened)
    flat = all(isinstance(block, Block) and _flat(block) for block in opened)
    for places in _groups(opened, steps):
        if flat:
            for place in places:
                pool = opened[place].pool
                statements[place] = (*steps[place], pool) if pool else steps[place]
            continue
        members = [opened[place] for place in places]
        template, variables = _template(members, [steps[place] for place in places])
        name, about = _described(members, variables, [made.name for made in block_functions])
        function, made = _function(name, about, template, variables)
        block_functions.append(function)
        for place, call in zip(places, made, strict=True):
            statements[place] = (call,)
    return unit_functions, block_functions, statements


def _flat(block: Block) -> bool:
    """Say whether a block is too small to be a function."""
    return not block.add and not block.excitation and len(block.units) == 1


def _forms(unit: Sequence[Statement]) -> Hashable:
    return tuple(form(call) for call in unit)


def _with_open_classes(blocks: Sequence[Block | DecoderBlock]) -> list[Block | DecoderBlock]:
    """Let one function take Conv2D or SeparableConv2D, where they take the same arguments."""
    every = [call for block in blocks for unit in block.units for call in unit]
    plain = all(
        dict(call.arguments).get(name, ANY) in (1, ANY)
        for call in every
        for name in ("groups", "depth_multiplier")
    )
    if not plain or any("Depthwise" in call.function for call in every):
        return list(blocks)

    def opened(call: Call) -> Call:
        return replace(call, role="conv") if call.function in OPEN_CLASSES else call

    return [replace(block, units=tuple(tuple(map(opened, unit)) for unit in block.units)) for block in blocks]


OPEN_CLASSES = frozenset(
    f"layers.{kind}Conv{rank}D" for kind in ("", "Separable") for rank in (1, 2)
)


def _unit_functions(
    blocks: Sequence[Block | DecoderBlock], partners: Mapping[Hashable, set[Hashable]]
) -> tuple[list[Function], dict[int, Call]]:
    """Make a function of each form of unit; those that stand for one another get the same parameters."""
    members: dict[Hashable, list[tuple[str, Unit]]] = {}
    for block in blocks:
        for unit in block.units:
            members.setdefault(_forms(unit), []).append((block.kind, unit))
    made: list[Function] = []
    found: dict[int, Call] = {}
    for key, instances in members.items():
        values: dict[str, set[Any]] = {}
        for partner in partners[key]:
            for _, unit in members[partner]:
                for name, value in (leaf for call in unit for leaf in leaves(call)):
                    values.setdefault(name, set()).update(() if value is ANY else (value,))
        varying = {name for name, known in values.items() if len(known) > 1 and name != "conv"}
        units = [unit for _, unit in instances]
        template, variables = generalized(units, frozenset({"width", *varying}))
        name = _words.unit_name((kind for kind, _ in instances), (function.name for function in made))
        called = _function(name, _words.unit_about(template), template, variables)
        made.append(called[0])
        for unit, call in zip(units, called[1], strict=True):
            found[id(unit)] = call
    if len(made) > 1 and not any(call.role for function in made for call in calls(function.body)):
        found = {key: replace(call, role="conv") for key, call in found.items()}
    return made, found


def _strided(block: Block | DecoderBlock) -> bool:
    return any(dict(call.arguments).get("strides") == 2 for call in block.units[0])


def _steps(
    block: Block | DecoderBlock, blocks: Sequence[Block | DecoderBlock], unit_calls: Mapping[int, Call]
) -> tuple[Statement, ...]:
    """Give the statements of a block up to where its units end."""
    made = [unit_calls[id(unit)] for unit in block.units]
    if isinstance(block, DecoderBlock):
        sample = (block.sample,) if block.sample else ()
        return (*repeated(made[:-1]), *sample, made[-1])
    if not block.pool and any(_strided(other) for other in blocks if isinstance(other, Block)):
        return (made[0], *repeated(made[1:]))
    return repeated(made)


def _groups(
    blocks: Sequence[Block | DecoderBlock], steps: Sequence[tuple[Statement, ...]]
) -> list[list[int]]:
    """Put together the blocks that one function can stand for."""
    found: dict[Hashable, list[int]] = {}
    for place, block in enumerate(blocks):
        if isinstance(block, Block):
            key: Hashable = (bool(block.excitation), bool(block.add))
        else:
            key = block.merge.function if block.merge else ""
        found.setdefault((type(block), key, _forms(steps[place])), []).append(place)
    return list(found.values())


@dataclass(frozen=True)
class _Slot:
    """A statement that some members of a group have and others do not."""

    statements: tuple[Statement | None, ...]  # of each member
    condition: str

    @property
    def mixed(self) -> bool:
        return None in self.statements

    def of(self, place: int) -> tuple[Statement, ...]:
        """Give a member's statement, in its condition where only some have one."""
        example = next((one for one in self.statements if one is not None), None)
        if example is None:
            return ()
        blank = filled(example, iter([ANY] * len(list(leaves(example)))))
        one = self.statements[place] or blank
        return (When(self.condition, (one,)),) if self.mixed else (one,)


def _template(
    members: Sequence[Block | DecoderBlock], steps: Sequence[tuple[Statement, ...]]
) -> tuple[tuple[Statement, ...], dict[str, tuple[Any, ...]]]:
    """Write the members of a group as one body with variables."""
    blocks = [member for member in members if isinstance(member, Block)]
    if blocks:
        return _block_template(blocks, steps)
    return _decoder_template([member for member in members if isinstance(member, DecoderBlock)], steps)


def _block_template(
    members: Sequence[Block], steps: Sequence[tuple[Statement, ...]]
) -> tuple[tuple[Statement, ...], dict[str, tuple[Any, ...]]]:
    pool = _Slot(tuple(member.pool for member in members), "pool")
    project = _Slot(tuple(map(_projection, members)), "shortcut.shape != x.shape")
    if pool.mixed and any(pool.statements):
        project = replace(project, statements=tuple(map(_pooled_projection, members)))
    bodies: list[tuple[Statement, ...]] = []
    for place, member in enumerate(members):
        keep = (Call("", output="shortcut", layer=False),) if member.add else ()
        excite = (Call("squeeze_excitation", (("ratio", member.excitation.ratio),), layer=False),
                  ) if member.excitation else ()
        add = (member.add,) if member.add else ()
        bodies.append((*keep, *steps[place], *excite, *pool.of(place), *project.of(place), *add))
    template, variables = generalized(bodies, frozenset({"width"}))
    if pool.mixed and any(pool.statements):
        classes = variables.get("pool")
        variables["pool"] = tuple(
            (classes[place] if classes else True) if one else (None if classes else False)
            for place, one in enumerate(pool.statements)
        )
    return template, variables


def _projection(member: Block) -> Call | None:
    return member.projection


def _pooled_projection(member: Block) -> Call | None:
    """Let the stride of a projection follow from whether the block pools."""
    call = member.projection
    if call is None:
        return None
    arguments = dict(call.arguments)
    if arguments["strides"] == (2 if member.pool else 1):
        arguments["strides"] = Code("2 if pool else 1")
    return replace(call, arguments=tuple(arguments.items()))


def _decoder_template(
    members: Sequence[DecoderBlock], steps: Sequence[tuple[Statement, ...]]
) -> tuple[tuple[Statement, ...], dict[str, tuple[Any, ...]]]:
    crop = _Slot(tuple(member.crop for member in members), "crop")
    project = _Slot(tuple(member.projection for member in members), "skip.shape[-1] != x.shape[-1]")
    bodies = [
        (*steps[place], *crop.of(place), *project.of(place), *((member.merge,) if member.merge else ()))
        for place, member in enumerate(members)
    ]
    always = {"width", "crop"} if crop.mixed else {"width"}
    template, variables = generalized(bodies, frozenset(always))
    if "crop" in variables:
        variables["crop"] = tuple(
            value if member.crop else None
            for value, member in zip(variables["crop"], members, strict=True)
        )
    if members[0].merge:
        variables["skip"] = tuple(Code("skips.pop()") for _ in members)
    return template, variables


def _described(
    members: Sequence[Block | DecoderBlock], variables: Mapping[str, tuple[Any, ...]], taken: Sequence[str]
) -> tuple[str, str]:
    """Give a block's function its name and its docstring."""
    kinds = [member.kind for member in members]
    counts = {len(member.units) for member in members}
    count = counts.pop() if len(counts) == 1 else Code("convs")
    blocks = [member for member in members if isinstance(member, Block)]
    if not blocks:
        return _words.decoder_name(taken), _words.decoder_about(kinds, count, "skip" in variables)
    projected = {member.projection is not None for member in blocks}
    shortcut = ""
    if blocks[0].add:
        shortcut = "mixed" if len(projected) == 2 else "projected" if projected == {True} else "identity"
    shrink = "strided" if any(map(_strided, blocks)) else "pooled" if any(b.pool for b in blocks) else ""
    name = _words.block_name(kinds, shrink, bool(blocks[0].add), taken)
    return name, _words.block_about(kinds, count, shrink, shortcut, bool(blocks[0].excitation))
