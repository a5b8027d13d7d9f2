"""Build the content of a LiteRT file from tensors, constants and operators.

The schema comes with LiteRT (`ai_edge_litert.schema_py_generated`); TensorFlow is not needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

__all__ = ["FlatBuffer", "pack_model", "unpack_model"]

ALIGNMENT = 16
"""Alignment of constants in the file, in bytes."""

ACTIVATIONS = {"": 0, "relu": 1, "relu6": 3}
"""Numbers in the schema of the activations that an operator can apply to its result."""

HYBRID_VERSIONS = {"CONV_2D": 5, "DEPTHWISE_CONV_2D": 6}
"""Versions of operators with float32 activations and int8 weights, which have one scale per channel."""


class FlatBuffer:
    """Builds a model with one input and one output; tensors are identified by their indices.

    float16: float constants are written as float16, each with an operator that widens it. int8: large
    weights are written as int8 with one scale per output channel.
    """

    def __init__(self, float16: bool = False, int8: bool = False) -> None:
        from ai_edge_litert import schema_py_generated as schema

        self._schema = schema
        self._float16, self._int8 = float16, int8
        self._graph = schema.SubGraphT()
        self._graph.name = b"main"
        self._graph.tensors, self._graph.operators = [], []
        self._buffers = [schema.BufferT()]
        self._widening: list[Any] = []
        self._codes: dict[int, int] = {}  # the highest version of each operator, by its number in the schema
        self._constants: dict[tuple[str, tuple[int, ...], bytes], int] = {}
        self.shapes: list[tuple[int, ...]] = []

    def tensor(self, shape: Sequence[int], kind: str = "FLOAT32", name: str = "") -> int:
        """Add a tensor that the graph computes and return its index; the shape includes the batch."""
        tensor = self._schema.TensorT()
        tensor.shape = np.array(shape, np.int32)
        tensor.type = getattr(self._schema.TensorType, kind)
        tensor.name = (name or f"t{len(self.shapes)}").encode()
        tensor.buffer = len(self._buffers)
        tensor.quantization = self._schema.QuantizationParametersT()
        self._buffers.append(self._schema.BufferT())
        self._graph.tensors.append(tensor)
        self.shapes.append(tuple(shape))
        return len(self.shapes) - 1

    def constant(self, values: np.ndarray, channel_axis: int | None = None, exact: bool = False) -> int:
        """Add a float32 or int32 constant; only one with a channel axis may be written as int8.

        `exact`: it keeps its type.
        """
        values = np.ascontiguousarray(values)
        if self._int8 and not exact and channel_axis is not None and values.size >= 1024:
            return self._quantize(values, channel_axis)
        small = values.size <= 1024  # equal small constants are written once
        key = (values.dtype.name, values.shape, values.tobytes() if small else b"")
        small = small and not exact
        if small and key in self._constants:
            return self._constants[key]
        if values.dtype == np.float32 and self._float16 and not exact:
            narrow = self._fill(values.astype(np.float16), "FLOAT16")
            index = self.tensor(values.shape)
            self._widening.append(self._operator("DEQUANTIZE", [narrow], index, None, 3))
        else:
            index = self._fill(values, values.dtype.name.upper())
        if small:
            self._constants[key] = index
        return index

    def _fill(self, values: np.ndarray, kind: str) -> int:
        index = self.tensor(values.shape, kind)
        self._buffers[self._graph.tensors[index].buffer] = _aligned_buffer(values.tobytes())
        return index

    def _quantize(self, values: np.ndarray, axis: int) -> int:
        """Add weights as symmetric int8 with one scale per channel."""
        others = tuple(other for other in range(values.ndim) if other != axis)
        scales = np.maximum(np.abs(values).max(axis=others), 1e-12) / 127
        shape = [-1 if other == axis else 1 for other in range(values.ndim)]
        index = self._fill(np.round(values / scales.reshape(shape)).astype(np.int8), "INT8")
        quantization = self._graph.tensors[index].quantization
        quantization.scale = scales.astype(np.float32)
        quantization.zeroPoint = np.zeros(len(scales), np.int64)
        quantization.quantizedDimension = axis
        return index

    def add(
        self, name: str, inputs: Sequence[int], shape: Sequence[int], options: Any = None, version: int = 1
    ) -> int:
        """Add an operator by its name in the schema and return its output; an omitted input is -1."""
        kind = "BOOL" if name == "GREATER" else "FLOAT32"
        output = self.tensor(shape, kind)
        self._graph.operators.append(self._operator(name, inputs, output, options, version))
        return output

    def _operator(self, name: str, inputs: Sequence[int], output: int, options: Any, version: int) -> Any:
        operator = self._schema.OperatorT()
        code = getattr(self._schema.BuiltinOperator, name)
        if any(index >= 0 and self._is_int8(index) for index in inputs):
            version = max(version, HYBRID_VERSIONS.get(name, 1))
        self._codes[code] = max(version, self._codes.get(code, 1))
        operator.opcodeIndex = list(self._codes).index(code)
        operator.inputs = np.array(inputs, np.int32)
        operator.outputs = np.array([output], np.int32)
        if options is not None:
            kind = type(options).__name__.removesuffix("T")
            operator.builtinOptionsType = getattr(self._schema.BuiltinOptions, kind)
            operator.builtinOptions = options
        return operator

    def _is_int8(self, index: int) -> bool:
        kind: int = self._graph.tensors[index].type
        return kind == int(self._schema.TensorType.INT8)

    def options(self, kind: str, **values: Any) -> Any:
        """Return the options of an operator by their names in the schema: options("Pool2D", strideW=2)."""
        options = getattr(self._schema, f"{kind}OptionsT")()
        for name, value in values.items():
            if not hasattr(options, name):
                raise AttributeError(f"{kind}Options has no {name}")
            setattr(options, name, ACTIVATIONS[value] if name == "fusedActivationFunction" else value)
        return options

    def to_bytes(self, entry: int, result: int) -> bytes:
        """Return the content of the file, with one signature: input -> output."""
        schema, graph = self._schema, self._graph
        graph.inputs, graph.outputs = np.array([entry], np.int32), np.array([result], np.int32)
        graph.operators = self._widening + graph.operators
        model = schema.ModelT()
        model.version = 3
        model.description = b"nas"
        model.subgraphs, model.buffers = [graph], self._buffers
        model.operatorCodes = [self._code(*code) for code in self._codes.items()]
        model.signatureDefs = [self._signature(entry, result)]
        return pack_model(model)

    def _code(self, number: int, version: int) -> Any:
        code = self._schema.OperatorCodeT()
        code.builtinCode, code.deprecatedBuiltinCode, code.version = number, min(number, 127), version
        return code

    def _signature(self, entry: int, result: int) -> Any:
        signature = self._schema.SignatureDefT()
        signature.signatureKey = b"serving_default"
        signature.subgraphIndex = 0
        signature.inputs, signature.outputs = [], []
        for maps, name, index in (
            (signature.inputs, b"input", entry),
            (signature.outputs, b"output_0", result),
        ):
            tensor_map = self._schema.TensorMapT()
            tensor_map.name, tensor_map.tensorIndex = name, index
            maps.append(tensor_map)
        return signature


def unpack_model(content: bytes) -> Any:
    """Return the content of a LiteRT file as an object of the schema that can be changed."""
    from ai_edge_litert import schema_py_generated as schema

    return schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))


def pack_model(model: Any) -> bytes:
    """Return the content of a LiteRT file; constants are aligned as the runtime requires."""
    import flatbuffers

    model.buffers = [
        buffer if buffer.data is None else _aligned_buffer(np.asarray(buffer.data, np.uint8).tobytes())
        for buffer in model.buffers
    ]
    builder = flatbuffers.Builder(1 << 16)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def _aligned_buffer(data: bytes) -> Any:
    """Return a buffer of the schema that aligns its content when it is packed."""
    from ai_edge_litert import schema_py_generated as schema

    base: Any = schema.BufferT

    class AlignedBuffer(base):  # type: ignore[misc]  # the schema has no types
        def Pack(self, builder: Any) -> int:  # noqa: N802  # the schema's name
            builder.StartVector(1, len(data), ALIGNMENT)
            builder.head -= len(data)
            builder.Bytes[builder.head : builder.head + len(data)] = data
            vector = builder.EndVector()
            schema.BufferStart(builder)
            schema.BufferAddData(builder, vector)
            offset: int = schema.BufferEnd(builder)
            return offset

    return AlignedBuffer()
