"""Buffers in which a network's operations write their results, and how long each buffer is in use."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Generic, TypeVar

__all__ = ["Buffer", "Operation", "assign_buffers", "peak_buffer_bytes"]

Tensor = TypeVar("Tensor", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Operation(Generic[Tensor]):
    """One operation of a network: the tensors that it reads and those that it writes."""

    inputs: Sequence[Tensor]
    outputs: Sequence[Tensor]
    overwrites: Sequence[Tensor] = ()  # inputs whose buffer may hold an output, in order of preference


@dataclass(slots=True)
class Buffer(Generic[Tensor]):
    """Memory that holds one tensor, or several tensors one after another."""

    tensor: Tensor  # the first that is written to it
    size_bytes: int
    first: int  # index of the first operation during which it is in use
    last: int  # index of the last one; the number of operations where it is in use to the end


def assign_buffers(
    operations: Sequence[Operation[Tensor]],
    size_bytes: Mapping[Tensor, int],
    inputs: Collection[Tensor] = (),
    retained: Collection[Tensor] = (),
) -> list[Buffer[Tensor]]:
    """Assign a buffer to each tensor when operations run in order.

    An output is written over an input that the operation may overwrite where both have the same size and no
    later operation reads that buffer; every other output gets a buffer of its own. A buffer is in use until
    the last operation that reads it. `inputs` exist before the first operation; `retained` stay in use to the
    end. Tensors that are neither an input nor an output of an operation, such as weights, get no buffer.
    """
    last_use = {tensor: index for index, operation in enumerate(operations) for tensor in operation.inputs}
    last_use |= dict.fromkeys(retained, len(operations))
    buffers = [Buffer(tensor, size_bytes[tensor], 0, last_use.get(tensor, 0)) for tensor in inputs]
    holder = {buffer.tensor: buffer for buffer in buffers}
    for index, operation in enumerate(operations):
        for output in operation.outputs:
            size, last = size_bytes[output], last_use.get(output, index)
            for tensor in operation.overwrites:
                buffer = holder.get(tensor)
                if buffer is not None and buffer.last <= index and buffer.size_bytes == size:
                    buffer.last = last
                    break
            else:
                buffer = Buffer(output, size, index, last)
                buffers.append(buffer)
            holder[output] = buffer
    return buffers


def peak_buffer_bytes(buffers: Sequence[Buffer[Tensor]]) -> int:
    """Return the largest sum of the sizes of buffers that are in use at the same time."""
    changes = [0] * (2 + max((buffer.last for buffer in buffers), default=0))
    for buffer in buffers:
        changes[buffer.first] += buffer.size_bytes
        changes[buffer.last + 1] -= buffer.size_bytes
    return max(accumulate(changes))
