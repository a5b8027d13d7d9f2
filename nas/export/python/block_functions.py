"""Blocks that are alike become one function, with a parameter for everything that differs between them."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from nas.export.python import wording as _words
from nas.export.python.calls import Block, DecoderBlock
from nas.export.python.statements import (
    ANY,
    Call,
    Code,
    Fixed,
    Statement,
    When,
    filled,
    generalized,
    leaves,
    repeated,
)
from nas.export.python.units import Function, forms, made_function, unit_functions, with_open_classes

__all__ = ["KEEP", "functions"]

KEEP = Call("skips.append", output="", layer=False)
"""Keeps the encoder's map for the decoder."""

Steps = tuple[Statement, ...]
Template = tuple[Steps, dict[str, tuple[Any, ...]]]
"""Statements with variables, and each variable's value in each member of a group."""


def functions(
    blocks: Sequence[Block | DecoderBlock],
) -> tuple[list[Function], list[Function], list[Steps]]:
    """Give the units' functions, the blocks' functions, and the statements that each block becomes."""
    opened = with_open_classes(blocks)
    every = {forms(unit) for block in opened for unit in block.units}
    unit_calls = unit_functions(opened, dict.fromkeys(every, every))[1]
    partners = {key: {key} for key in every}
    for group in _groups(opened, [_steps(block, opened, unit_calls) for block in opened]):
        together = {forms(unit) for place in group for unit in opened[place].units}
        for key in together:
            partners[key] |= together
    units, unit_calls = unit_functions(opened, partners)
    split = [_steps(block, opened, unit_calls) for block in opened]
    flat = all(_flat(block) for block in opened if isinstance(block, Block))
    made: list[Function] = []
    statements: list[Steps] = [()] * len(opened)
    for group in _groups(opened, split):
        members = [opened[place] for place in group]
        steps = _unsplit([split[place] for place in group], members, unit_calls)
        if (flat and isinstance(members[0], Block)) or _single(members, steps):
            groups = [(*one, *_pooling(member)) for one, member in zip(steps, members, strict=True)]
        else:
            template, variables = _template(members, steps)
            name, about = _described(members, variables, [function.name for function in made])
            function, function_calls = made_function(name, about, template, variables)
            made.append(function)
            groups = [
                (call, *(_pooling(member) if _pools_outside(member) else ()))
                for call, member in zip(function_calls, members, strict=True)
            ]
        for place, found in zip(group, groups, strict=True):
            statements[place] = found
    return units, made, statements


def _flat(block: Block) -> bool:
    """Say whether a block is too small to be a function."""
    return not block.add and not block.excitation and len(block.units) == 1


def _single(members: Sequence[Block | DecoderBlock], steps: Sequence[Steps]) -> bool:
    """Say whether each member of a group is one unit and nothing else."""
    return all(
        isinstance(member, Block) and _flat(member) and (not member.pool or member.keeps) and len(one) == 1
        for member, one in zip(members, steps, strict=True)
    )


def _pools_outside(block: Block | DecoderBlock) -> bool:
    """Say whether a block's function ends before the pooling, so that the map can be kept."""
    return isinstance(block, Block) and block.keeps and not block.add


def _pooling(block: Block | DecoderBlock) -> Steps:
    """Give the pooling of a block, behind the keeping of its map."""
    if not isinstance(block, Block) or not block.pool:
        return ()
    return (KEEP, block.pool) if block.keeps else (block.pool,)


def _strided(block: Block | DecoderBlock) -> bool:
    return any(dict(call.arguments).get("strides") == 2 for call in block.units[0])


def _steps(
    block: Block | DecoderBlock, blocks: Sequence[Block | DecoderBlock], unit_calls: Mapping[int, Call]
) -> Steps:
    """Give the statements of a block up to where its units end."""
    made = [unit_calls[id(unit)] for unit in block.units]
    if isinstance(block, DecoderBlock):
        sample = (block.sample,) if block.sample else ()
        return (*repeated(made[:-1]), *sample, made[-1])
    if not block.pool and any(_strided(other) for other in blocks if isinstance(other, Block)):
        return (made[0], *repeated(made[1:]))
    return repeated(made)


def _unsplit(
    split: list[Steps], members: Sequence[Block | DecoderBlock], unit_calls: Mapping[int, Call]
) -> list[Steps]:
    """Join the first unit with those after it again, where in no member of a group it is strided."""
    if isinstance(members[0], DecoderBlock):
        return split
    joined: list[Steps] = [repeated([unit_calls[id(unit)] for unit in member.units]) for member in members]
    shorter = len(joined[0]) < len(split[0]) and len({forms(steps) for steps in joined}) == 1
    return joined if shorter else split


def _groups(blocks: Sequence[Block | DecoderBlock], steps: Sequence[Steps]) -> list[list[int]]:
    """Put together the blocks that one function can stand for."""
    found: dict[Hashable, list[int]] = {}
    for place, block in enumerate(blocks):
        key: Hashable = ()
        if isinstance(block, Block):
            outside = _pools_outside(block)
            key = (bool(block.excitation), bool(block.add), block.keeps and not outside)
        found.setdefault((type(block), key, forms(steps[place])), []).append(place)
    return list(found.values())


@dataclass(frozen=True)
class _Slot:
    """A statement that some members of a group have and others do not."""

    statements: tuple[Statement | None, ...]  # of each member
    condition: str

    @property
    def mixed(self) -> bool:
        return None in self.statements and any(self.statements)

    def of(self, place: int) -> Steps:
        """Give a member's statement, in its condition where only some have one."""
        example = next((one for one in self.statements if one is not None), None)
        if example is None:
            return ()
        one = self.statements[place] or _blank(example)
        return (When(self.condition, (one,)),) if self.mixed else (one,)


def _blank(statement: Statement) -> Statement:
    """Give a statement of the same form whose values do not matter."""
    return filled(statement, iter([ANY] * len(list(leaves(statement)))))


def _template(members: Sequence[Block | DecoderBlock], steps: Sequence[Steps]) -> Template:
    """Write the members of a group as one body with variables."""
    blocks = [member for member in members if isinstance(member, Block)]
    if blocks:
        return _block_template(blocks, steps)
    return _decoder_template([member for member in members if isinstance(member, DecoderBlock)], steps)


def _block_template(members: Sequence[Block], steps: Sequence[Steps]) -> Template:
    pool = _Slot(tuple(None if _pools_outside(member) else member.pool for member in members), "pool")
    projections = tuple(_projection(member, pool.mixed) for member in members)
    project = _Slot(projections, "shortcut.shape != x.shape")
    bodies: list[Steps] = []
    for place, member in enumerate(members):
        start = (Call("", output="shortcut", layer=False),) if member.add else ()
        excite: Steps = ()
        if member.excitation:
            excite = (Call("squeeze_excitation", (("ratio", member.excitation.ratio),), layer=False),)
        keep = (KEEP,) if member.keeps and member.add else ()
        add = (member.add,) if member.add else ()
        end = (*keep, *pool.of(place), *project.of(place), *add)
        bodies.append((*start, *steps[place], *excite, *end))
    template, variables = generalized(bodies, frozenset({"width"}))
    if pool.mixed:
        classes = variables.get("pool")
        variables["pool"] = tuple(
            (classes[place] if classes else True) if one else (None if classes else False)
            for place, one in enumerate(pool.statements)
        )
    if members[0].keeps and members[0].add:
        variables["skips"] = tuple(Fixed(Code("skips")) for _ in members)
    return template, variables


def _projection(member: Block, pool_varies: bool) -> Call | None:
    """Give a block's projection; its stride follows from whether the block pools, where that varies."""
    call = member.projection
    if call is None:
        return None
    arguments = dict(call.arguments)
    if pool_varies and arguments["strides"] == (2 if member.pool else 1):
        arguments["strides"] = Code("2 if pool else 1")
    return replace(call, arguments=tuple(arguments.items()))


def _decoder_template(members: Sequence[DecoderBlock], steps: Sequence[Steps]) -> Template:
    crop = _Slot(tuple(member.crop for member in members), "crop")
    joining = [member for member in members if member.merge]
    needed = _Slot(tuple(member.projection for member in joining), "skip.shape[-1] != x.shape[-1]")
    places = {id(member): place for place, member in enumerate(joining)}
    bodies: list[Steps] = []
    for place, member in enumerate(members):
        at = places.get(id(member), 0)
        merge = joining[at].merge if joining else None
        join: Steps = (*needed.of(at), merge) if merge else ()
        if not member.merge:
            join = tuple(_unknown(step) for step in join)
        if merge and len(joining) < len(members):
            join = (When("skip is not None", join),)
        bodies.append((*steps[place], *crop.of(place), *join))
    always = frozenset({"width", "crop"} if crop.mixed else {"width"})
    template, variables = generalized(bodies, always)
    if crop.mixed:
        cropped = zip(variables["crop"], members, strict=True)
        variables["crop"] = tuple(value if member.crop else None for value, member in cropped)
    if joining:
        taken = Fixed(Code("skips.pop()"))
        variables["skip"] = tuple(taken if member.merge else None for member in members)
    return template, variables


def _unknown(statement: Statement) -> Statement:
    """Let nothing that is called in a statement matter."""
    if isinstance(statement, When):
        return replace(statement, body=tuple(map(_unknown, statement.body)))
    return _blank(statement)


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
    pools = {block.pool.function if block.pool else "" for block in blocks if not _pools_outside(block)}
    shrink = "strided" if any(map(_strided, blocks)) else _words.pooling(pools)
    traits = ["strided" if shrink == "strided" else "pooled"] if shrink else []
    traits += ["se"] if blocks[0].excitation else []
    name = _words.block_name(kinds, traits, bool(blocks[0].add), taken)
    return name, _words.block_about(kinds, count, shrink, shortcut, bool(blocks[0].excitation))
