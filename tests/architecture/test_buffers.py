"""Buffers of small graphs whose lifetimes are counted by hand."""

from __future__ import annotations

from nas.architecture import Operation, assign_buffers, peak_buffer_bytes


def lifetimes(buffers):
    return {buffer.tensor: (buffer.first, buffer.last) for buffer in buffers}


def test_a_buffer_is_in_use_from_its_writer_to_its_last_reader():
    operations = [Operation("x", "a"), Operation("a", "b"), Operation("ab", "c")]
    buffers = assign_buffers(operations, {"x": 1, "a": 10, "b": 100, "c": 1000}, inputs="x")
    assert lifetimes(buffers) == {"x": (0, 0), "a": (0, 2), "b": (1, 2), "c": (2, 2)}
    assert peak_buffer_bytes(buffers) == 10 + 100 + 1000


def test_retained_tensors_are_in_use_to_the_end():
    operations = [Operation("x", "a"), Operation("a", "b"), Operation("b", "c")]
    buffers = assign_buffers(operations, dict.fromkeys("xabc", 4), inputs="x", retained="xa")
    assert lifetimes(buffers) == {"x": (0, 3), "a": (0, 3), "b": (1, 2), "c": (2, 2)}
    assert peak_buffer_bytes(buffers) == 16


def test_an_input_is_overwritten_only_where_nothing_reads_it_later():
    sizes = dict.fromkeys("xabc", 4)
    chain = [Operation("x", "a"), Operation("a", "b", overwrites="a"), Operation("b", "c", overwrites="b")]
    assert lifetimes(assign_buffers(chain, sizes, inputs="x")) == {"x": (0, 0), "a": (0, 2)}
    read_later = [Operation("x", "a"), Operation("a", "b", overwrites="a"), Operation("ab", "c")]
    assert lifetimes(assign_buffers(read_later, sizes, inputs="x"))["b"] == (1, 2)
    retained = assign_buffers(chain, sizes, inputs="x", retained="a")
    assert lifetimes(retained) == {"x": (0, 0), "a": (0, 3), "b": (1, 2)}


def test_an_input_of_another_size_is_not_overwritten():
    operations = [Operation("x", "a"), Operation("xa", "b", overwrites="xa")]
    buffers = assign_buffers(operations, {"x": 8, "a": 4, "b": 4}, inputs="x")
    assert lifetimes(buffers) == {"x": (0, 1), "a": (0, 1)}


def test_tensors_that_no_operation_writes_have_no_buffer():
    buffers = assign_buffers([Operation(["x", "weights"], ["y"])], {"x": 2, "y": 3}, inputs=["x"])
    assert peak_buffer_bytes(buffers) == 5
    assert peak_buffer_bytes([]) == 0
