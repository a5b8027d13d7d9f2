"""An architecture as one readable Python file that needs only Keras."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.architecture import Architecture, Design, Training, network_cost
from nas.backends import build_model
from nas.export.keras_file import set_weights
from nas.export.python.calls import Excitation
from nas.export.python.program import Program, program
from nas.export.python.render import LINE, body_lines, function_text, statement_lines, value_text
from nas.export.python.statements import Call, Statement
from nas.export.python.units import REQUIRED
from nas.files import output_file

if TYPE_CHECKING:
    import numpy as np

__all__ = ["export_python", "python_source"]

WEIGHTS = ".weights.h5"
"""How the name of the file of weights beside the source ends."""


def python_source(design: Design, weights_file: str = "") -> str:
    """Write a design as the source of a module that builds and compiles the network with Keras alone.

    Its `build_model()` has the weights of `nas.backends.keras_model.build` in the same order. `weights_file` is named in
    the docstring as what to load.
    """
    architecture = design.architecture.canonical()
    made = program(architecture)
    known: dict[str, Mapping[str, Any]] = {one.name: one.parameters for one in made.functions}
    ratios = {found.ratio for found in made.excitations}
    known["squeeze_excitation"] = {"ratio": ratios.pop() if len(ratios) == 1 else REQUIRED}
    passed = [one.parameters for one in made.functions if one.name in made.passed]
    if passed:
        known["conv"] = {
            name: default if all(other.get(name) == default for other in passed) else REQUIRED
            for name, default in passed[0].items()
        }
    parts = [
        _about(design, weights_file),
        "import keras\nfrom keras import layers",
        *_excitation(made.excitations, len(architecture.input_shape) - 1),
        *(function_text(function, known) for function in made.functions),
        _build_model(design.training, architecture, made, known),
    ]
    if architecture.head is not None:
        parts.append(_compile_model(architecture, design.training))
    parts.append('if __name__ == "__main__":\n    build_model().summary()')
    return "\n\n".join(parts[:2]) + "\n\n\n" + "\n\n\n".join(parts[2:]) + "\n"


def export_python(design: Design, weights: Sequence[np.ndarray] | None, path: Path) -> Path:
    """Write the source to `path`, and the weights if given to `<stem>.weights.h5` beside it.

    `weights` are in the order of `nas.backends.keras_model.build`. Raises InputError where they are another network's
    or the files can't be written.
    """
    weights_file = ""
    if weights is not None:
        model = build_model(design.architecture, design.training)
        set_weights(model, weights, design.architecture)
        beside = path.with_suffix(WEIGHTS)
        weights_file = beside.name
        with output_file(beside) as unfinished:
            model.save_weights(unfinished)
    with output_file(path) as unfinished:
        unfinished.write_text(python_source(design, weights_file), encoding="utf-8")
    return path


def _excitation(found: frozenset[Excitation], rank: int) -> list[str]:
    """Write squeeze-and-excitation, with the share of channels that it keeps as simply as it can be said."""
    if not found:
        return []
    single = len({one.ratio for one in found}) == 1
    channels = _inner_channels(found) if single else "max(1, round(ratio * x.shape[-1]))"
    return [
        f'''def squeeze_excitation({"x" if single else "x, ratio"}):
    """Weigh the channels by what the whole map holds."""
    y = layers.GlobalAveragePooling{rank}D(keepdims=True)(x)
    y = layers.Conv{rank}D({channels}, 1, activation="relu")(y)
    y = layers.Conv{rank}D(x.shape[-1], 1, activation="sigmoid")(y)
    return layers.Multiply()([x, y])'''
    ]


def _inner_channels(found: frozenset[Excitation]) -> str:
    ratio = next(iter(found)).ratio
    divisor = round(1 / ratio)
    if abs(divisor * ratio - 1) < 1e-9 and all(one.outer // divisor == one.inner for one in found):
        return "x.shape[-1]" if divisor == 1 else f"x.shape[-1] // {divisor}"
    rounded = f"round({ratio!r} * x.shape[-1])"
    return rounded if all(round(one.ratio * one.outer) for one in found) else f"max(1, {rounded})"


def _build_model(
    training: Training, architecture: Architecture, made: Program, known: Mapping[str, Mapping[str, Any]]
) -> str:
    indent = "    "
    body = [*_augmentation(training), *made.body]
    if made.output:
        body.append(made.output)
    if body and isinstance(body[0], Call) and "x.shape" not in "".join(statement_lines(body[0], known, "")):
        body[0] = replace(body[0], inputs=("inputs",))
    elif body:
        body.insert(0, Call("", inputs=("inputs",), layer=False))
    end = "outputs" if made.output else "x"
    return "\n".join(
        [
            "def build_model():",
            f'{indent}"""Build the network, not yet compiled."""',
            f"{indent}inputs = keras.Input({value_text(tuple(architecture.input_shape))})",
            *([f"{indent}skips = []"] if made.skips else []),
            *body_lines(body, known, indent),
            f'{indent}return keras.Model(inputs, {end}, name="{_model_name(architecture)}")',
        ]
    )


def _model_name(architecture: Architecture) -> str:
    return architecture.name if architecture.name.isidentifier() else "network"


def _augmentation(training: Training) -> list[Statement]:
    """Give the layers that change images at random in training only."""
    made: list[Statement] = []
    if training.flip:
        made.append(Call("layers.RandomFlip", (("mode", "horizontal"),)))
    if training.rotation:
        made.append(Call("layers.RandomRotation", (("factor", training.rotation),)))
    if training.zoom:
        made.append(Call("layers.RandomZoom", (("factor", training.zoom),)))
    return made


def _compile_model(architecture: Architecture, training: Training) -> str:
    cosine = training.schedule == "cosine"
    rate_text = repr(training.learning_rate)
    rate = "learning_rate" if cosine else rate_text
    loss = "binary_crossentropy" if architecture.task == "binary" else "sparse_categorical_crossentropy"
    about = "Compile the network for training"
    about += "; the learning rate falls to zero over so many batches." if cosine else "."
    schedule = f"    learning_rate = keras.optimizers.schedules.CosineDecay({rate_text}, steps)"
    return "\n".join(
        [
            f"def compile_model(model{', steps' if cosine else ''}):",
            f'    """{about}"""',
            *([schedule] if cosine else []),
            "    model.compile(",
            f"        optimizer=keras.optimizers.{_optimizer(training, rate)},",
            f'        loss="{loss}",',
            '        metrics=["accuracy"],',
            "    )",
            "    return model",
        ]
    )


def _optimizer(training: Training, rate: str) -> str:
    """Write the optimizer as `nas.backends.keras_model.optimizer` makes it."""
    decay = training.weight_decay
    match training.optimizer:
        case "adam":
            return f"Adam({rate})"
        case "adamw":
            return f"AdamW({rate}, weight_decay={decay!r})"
        case "sgd":
            decayed = f", weight_decay={decay!r}" if decay else ""
            return f"SGD({rate}, momentum=0.9, nesterov=True{decayed})"
        case "rmsprop":
            return f"RMSprop({rate})"


def _about(design: Design, weights_file: str) -> str:
    """Write the module's docstring: what the network is, its costs, and how to use it."""
    architecture, training = design.architecture, design.training
    costs = network_cost(architecture)
    title = f"{architecture.name}: a" if architecture.name else "A"
    what = f"{title} convolutional network of {costs.params:,} parameters"
    if costs.trainable_params != costs.params:
        what += f", {costs.trainable_params:,} of them trainable,"
    what += f" and {_short(costs.flops)} FLOPs for one example (2 x multiply-adds)."
    shape = ", ".join(map(str, architecture.input_shape))
    values = "values from 0 to 255" if architecture.rescale else "values scaled as in training"
    output = ", ".join(map(str, architecture.layers[-1].shape))
    kind = "features" if architecture.head is None else "probabilities"
    paragraphs = [
        what,
        *([architecture.about] if architecture.about else []),
        *([f"Source: {architecture.source}"] if architecture.source else []),
        f"Input: (batch, {shape}), {values}. Output: (batch, {output}), {kind}.",
    ]
    wrapped = [textwrap.fill(_plain(text), LINE - 4, break_long_words=False) for text in paragraphs]
    wrapped[0] = textwrap.fill(f'"""{_plain(what)}', LINE - 4, break_long_words=False)
    return "\n\n".join([*wrapped, _usage(architecture, training, weights_file)]) + '\n"""'


def _usage(architecture: Architecture, training: Training, weights_file: str) -> str:
    build, usage = "build_model()", []
    if architecture.head is not None:
        steps = f", steps=20 * len(x_train) // {training.batch_size}"
        steps = steps if training.schedule == "cosine" else ""
        build = f"compile_model({build}{steps})"
    usage.append(f"    model = {build}")
    if weights_file:
        usage.append(f'    model.load_weights("{weights_file}")')
    if architecture.head is not None:
        usage.append(f"    model.fit(x_train, y_train, batch_size={training.batch_size}, epochs=20)")
    return "\n".join(usage)


def _plain(text: str) -> str:
    """Make a text safe within a docstring."""
    return " ".join(text.replace("\\", "/").replace('"', "'").split())


def _short(number: int) -> str:
    """Write a number with three digits and its size: 1.25 million."""
    for size, word in ((10**9, "billion"), (10**6, "million"), (10**3, "thousand")):
        if number >= size:
            return f"{number / size:.3g} {word}"
    return str(number)
