"""The code of a registered model: MLflow copies this file beside the network's file, and runs it alone.

It needs MLflow, NumPy and the runtime of the file: `ai-edge-litert` for `.tflite`, `keras` and `tensorflow`
for `.keras`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel

__all__ = ["ServedNetwork"]


class ServedNetwork(PythonModel):
    """Returns the outputs (n, ...) of a network for examples (n, *input_shape)."""

    run: Callable[[np.ndarray], np.ndarray]

    def load_context(self, context: Any) -> None:
        """Load the network's file."""
        path = Path(context.artifacts["network"])
        if path.suffix == ".keras":
            import keras

            self.model = keras.saving.load_model(path, compile=False)
            self.run = lambda x: np.asarray(self.model(x, training=False))
            return
        from ai_edge_litert.interpreter import Interpreter

        self.interpreter = Interpreter(str(path))
        self.interpreter.allocate_tensors()
        self.run = self.run_litert

    def run_litert(self, examples: np.ndarray) -> np.ndarray:
        """Run a LiteRT file, which has batch size 1; integers are converted by their scale and zero point."""
        (taken,), (given,) = self.interpreter.get_input_details(), self.interpreter.get_output_details()
        outputs = []
        for example in examples:
            scale, zero = taken["quantization"]
            if np.issubdtype(taken["dtype"], np.integer) and scale:
                limits = np.iinfo(taken["dtype"])
                example = np.clip(np.rint(example / scale + zero), limits.min, limits.max)
            self.interpreter.set_tensor(taken["index"], example[None].astype(taken["dtype"]))
            self.interpreter.invoke()
            output = self.interpreter.get_tensor(given["index"])[0]
            scale, zero = given["quantization"]
            if np.issubdtype(given["dtype"], np.integer) and scale:
                output = (output.astype(np.float32) - zero) * scale
            outputs.append(output)
        return np.stack(outputs).astype(np.float32)

    # MLflow passes its arguments by these names, and reads a type hint as a signature.
    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]  # noqa: ARG002
        """Return the outputs for examples, float32."""
        return self.run(np.asarray(model_input, np.float32))


set_model(ServedNetwork())
