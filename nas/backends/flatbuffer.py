"""A LiteRT file's bytes, written piece by piece: tensors, constants and operators of one graph.

The schema is LiteRT's own (`ai_edge_litert.schema_py_generated`); TensorFlow is not needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

__all__ = ["FlatBuffer"]

ALIGNMENT = 16
"""Bytes on whose multiples a runtime expects constants to start."""

ACTIVATIONS = {"": 0, "relu": 1, "relu6": 3}
"""Activations that an operator can compute in the same pass, with the schema's numbers."""

HYBRID_VERSIONS = {"CONV_2D": 5, "DEPTHWISE_CONV_2D": 6}
"""Versions of operators that take int8 weights, one scale a channel, with float32 activations."""


class FlatBuffer:
    """Builds a model with one input and one output. Tensors are known by their places."""

    def __init__(self, half: bool = False, int8: bool = False) -> None:
        from ai_edge_litert import schema_py_generated as schema

        self._schema = schema
        self._half = half  # float constants as float16, each with the operator that widens it
        self._int8 = int8  # large weights as int8, one scale for each output channel
        self._graph = schema.SubGraphT()
        self._graph.name = b"main"
        self._graph.tensors, self._graph.operators = [], []
        self._buffers = [schema.BufferT()]
        self._widening: list[Any] = []
        self._codes: dict[int, int] = {}  # each operator's number in the schema, with its highest version
        self._constants: dict[tuple[str, tuple[int, ...], bytes], int] = {}
        self.shapes: list[tuple[int, ...]] = []

    def tensor(self, shape: Sequence[int], kind: str = "FLOAT32", name: str = "") -> int:
        """Add a tensor whose values the graph computes; shape with the batch."""
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

    def constant(self, values: np.ndarray, channel_axis: int | None = None) -> int:
        """Add a constant, float32 or int32; with a channel axis it may be held as int8."""
        values = np.ascontiguousarray(values)
        if self._int8 and channel_axis is not None and values.size >= 1024:
            return self._quantized(values, channel_axis)
        small = values.size <= 1024  # equal small constants are held once
        key = (values.dtype.name, values.shape, values.tobytes() if small else b"")
        if small and key in self._constants:
            return self._constants[key]
        if values.dtype == np.float32 and self._half:
            place = self._filled(values.astype(np.float16), "FLOAT16")
            wide = self.tensor(values.shape)
            self._widening.append(self._operator("DEQUANTIZE", [place], wide, None, 3))
            place = wide
        else:
            place = self._filled(values, values.dtype.name.upper())
        if small:
            self._constants[key] = place
        return place

    def _filled(self, values: np.ndarray, kind: str) -> int:
        place = self.tensor(values.shape, kind)
        self._buffers[self._graph.tensors[place].buffer] = self._aligned(values)
        return place

    def _aligned(self, values: np.ndarray) -> Any:
        """Give a buffer of the schema that packs its bytes on an aligned place."""
        schema = self._schema
        plain: Any = schema.BufferT
        data = values.tobytes()

        class Aligned(plain):  # type: ignore[misc]  # the schema has no types
            def Pack(self, builder: Any) -> int:  # noqa: N802  # the schema's name
                builder.StartVector(1, len(data), ALIGNMENT)
                builder.head -= len(data)
                builder.Bytes[builder.head : builder.head + len(data)] = data
                vector = builder.EndVector()
                schema.BufferStart(builder)
                schema.BufferAddData(builder, vector)
                place: int = schema.BufferEnd(builder)
                return place

        return Aligned()

    def _quantized(self, values: np.ndarray, axis: int) -> int:
        """Add weights as int8, symmetric, one scale for each channel."""
        others = tuple(place for place in range(values.ndim) if place != axis)
        scales = np.maximum(np.abs(values).max(axis=others), 1e-12) / 127
        shape = [-1 if place == axis else 1 for place in range(values.ndim)]
        place = self._filled(np.round(values / scales.reshape(shape)).astype(np.int8), "INT8")
        quantization = self._graph.tensors[place].quantization
        quantization.scale = scales.astype(np.float32)
        quantization.zeroPoint = np.zeros(len(scales), np.int64)
        quantization.quantizedDimension = axis
        return place

    def add(
        self, name: str, inputs: Sequence[int], shape: Sequence[int], options: Any = None, version: int = 1
    ) -> int:
        """Add an operator by the schema's name; -1 is an input left out. Gives the place of its output."""
        kind = "BOOL" if name == "GREATER" else "FLOAT32"
        output = self.tensor(shape, kind)
        self._graph.operators.append(self._operator(name, inputs, output, options, version))
        return output

    def _operator(self, name: str, inputs: Sequence[int], output: int, options: Any, version: int) -> Any:
        operator = self._schema.OperatorT()
        code = getattr(self._schema.BuiltinOperator, name)
        if any(place >= 0 and self._is_int8(place) for place in inputs):
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

    def _is_int8(self, place: int) -> bool:
        kind: int = self._graph.tensors[place].type
        return kind == int(self._schema.TensorType.INT8)

    def options(self, kind: str, **values: Any) -> Any:
        """Give an operator's options by the schema's names, as in options("Pool2D", strideW=2)."""
        options = getattr(self._schema, f"{kind}OptionsT")()
        for name, value in values.items():
            if not hasattr(options, name):
                raise AttributeError(f"{kind}Options has no {name}")
            setattr(options, name, ACTIVATIONS[value] if name == "fusedActivationFunction" else value)
        return options

    def finished(self, entry: int, result: int) -> bytes:
        """Give the file's bytes, with one signature: input -> output."""
        import flatbuffers

        schema, graph = self._schema, self._graph
        graph.inputs, graph.outputs = np.array([entry], np.int32), np.array([result], np.int32)
        graph.operators = self._widening + graph.operators
        model = schema.ModelT()
        model.version = 3
        model.description = b"nas"
        model.subgraphs, model.buffers = [graph], self._buffers
        model.operatorCodes = [self._code(*code) for code in self._codes.items()]
        model.signatureDefs = [self._signature(entry, result)]
        builder = flatbuffers.Builder(1 << 16)
        builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
        return bytes(builder.Output())

    def _code(self, number: int, version: int) -> Any:
        code = self._schema.OperatorCodeT()
        code.builtinCode, code.deprecatedBuiltinCode, code.version = number, min(number, 127), version
        return code

    def _signature(self, entry: int, result: int) -> Any:
        signature = self._schema.SignatureDefT()
        signature.signatureKey = b"serving_default"
        signature.subgraphIndex = 0
        signature.inputs, signature.outputs = [], []
        for maps, name, place in (
            (signature.inputs, b"input", entry),
            (signature.outputs, b"output_0", result),
        ):
            tensor_map = self._schema.TensorMapT()
            tensor_map.name, tensor_map.tensorIndex = name, place
            maps.append(tensor_map)
        return signature
