"""A design as one readable Python module that needs only Keras."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, assert_never

from nas.architecture import Architecture, Design, Training, network_cost
from nas.backends import METRICS, build_model, moving_layers, recoloring_layers, training_loss
from nas.data import Signature
from nas.export.keras_file import set_weights
from nas.export.python.batches import batches_function, batches_name
from nas.export.python.formatting import LINE_LENGTH, body_lines, call_text, function_text, value_text
from nas.export.python.functions import Program, programs
from nas.export.python.statements import Call, Statement
from nas.files import output_file

if TYPE_CHECKING:
    import numpy as np

__all__ = ["export_python", "python_source"]

WEIGHTS_SUFFIX = ".weights.h5"


def python_source(design: Design, weights_file: str = "", signature: Signature | None = None) -> str:
    """Return the source of a module that builds and compiles a design's network with Keras alone.

    The weights of its `build_model()` have the order of `nas.backends.build_model`. The module's docstring
    shows how to load `weights_file`, if given. With a signature it names the outputs in `CLASSES`.
    """
    architecture = design.architecture.canonical()
    networks = [_network(program, architecture, design.training) for program in programs(architecture)]
    batches = architecture.head is not None and bool(batches_name(architecture, design.training))
    imports = ["import keras", *["import numpy as np"] * batches, "from keras import layers"]
    parts = [
        "\n".join([_module_docstring(design, weights_file, signature), "", *imports]),
        *([_class_names(signature)] if signature is not None else []),
        min(networks, key=lambda text: text.count("\n")),
        *([_compile_model(architecture, design.training)] if architecture.head is not None else []),
        *([batches_function(architecture, design.training)] if batches else []),
        'if __name__ == "__main__":\n    build_model().summary()',
    ]
    return "\n\n\n".join(parts) + "\n"


def export_python(
    design: Design,
    weights: Sequence[np.ndarray] | None,
    path: Path,
    signature: Signature | None = None,
) -> Path:
    """Write the source to `path`, and the weights, if given, to `<stem>.weights.h5` next to it.

    `weights` have the order of `nas.backends.build_model`. Raises InputError if they do not fit the network
    or a file can't be written.
    """
    weights_file = ""
    if weights is not None:
        model = build_model(design.architecture, design.training)
        set_weights(model, weights, design.architecture)
        weights_path = path.with_suffix(WEIGHTS_SUFFIX)
        weights_file = weights_path.name
        with output_file(weights_path) as unfinished:
            model.save_weights(unfinished)
    with output_file(path) as unfinished:
        unfinished.write_text(python_source(design, weights_file, signature), encoding="utf-8")
    return path


def _network(program: Program, architecture: Architecture, training: Training) -> str:
    """Return the source of `build_model` and of the functions that it needs."""
    parameters = {function.name: function.parameters for function in program.functions}
    body = [*_augmentation(architecture, training), *program.body]
    result = "x"
    if architecture.head is not None and isinstance(body[-1], Call):
        result, body[-1] = "outputs", replace(body[-1], output="outputs")
    first = body[0] if body else None
    relative = isinstance(first, Call) and "expansion" in dict(first.arguments) and first.layer
    if isinstance(first, Call) and first.output == "x" and not relative:
        body[0] = replace(first, inputs=("inputs", *first.inputs[1:]))
    elif body:
        body.insert(0, Call("", inputs=("inputs",), layer=False))
    name = architecture.name if architecture.name.isidentifier() else "network"
    lines = [
        "def build_model():",
        '    """Build the network without compiling it."""',
        f"    inputs = keras.Input({value_text(tuple(architecture.input_shape))})",
        *(["    skips = []"] if program.stores_maps else []),
        *body_lines(body, parameters, "    "),
        f'    return keras.Model(inputs, {result}, name="{name}")',
    ]
    functions = [function_text(function, parameters) for function in program.functions]
    return "\n\n\n".join([*functions, "\n".join(lines)])


def _augmentation(architecture: Architecture, training: Training) -> list[Statement]:
    """Return the layers that change images at random, in training only."""
    moving = {} if architecture.task == "segmentation" else moving_layers(architecture, training)
    found = moving | recoloring_layers(architecture, training)
    return [Call(f"layers.{name}", tuple(arguments.items())) for name, arguments in found.values()]


def _class_names(signature: Signature) -> str:
    """Return the constant that names the outputs."""
    quoted = [json.dumps(name, ensure_ascii=False) for name in signature.classes]
    names = f"({', '.join(quoted)}{',' if len(quoted) == 1 else ''})"
    if len(f"CLASSES = {names}") > LINE_LENGTH:
        names = "\n".join(["(", *(f"    {name}," for name in quoted), ")"])
    return f"# The name of each output, in order.\nCLASSES = {names}"


def _compile_model(architecture: Architecture, training: Training) -> str:
    cosine = training.schedule == "cosine"
    rate = "learning_rate" if cosine else repr(training.learning_rate)
    loss, metric = training_loss(architecture, training), METRICS.get(architecture.task, "accuracy")
    loss_text = f'"{loss}"'
    if not isinstance(loss, str):
        loss_text = call_text(Call(f"keras.losses.{loss[0]}", tuple(loss[1].items())))
    docstring = "Compile the network for training"
    docstring += "; the learning rate decays to zero over `steps` batches." if cosine else "."
    schedule = (
        f"    learning_rate = keras.optimizers.schedules.CosineDecay({training.learning_rate!r}, steps)"
    )
    compiled = "\n".join(
        [
            f"def compile_model(model{', steps' if cosine else ''}):",
            f'    """{docstring}"""',
            *([schedule] if cosine else []),
            "    model.compile(",
            f"        optimizer=keras.optimizers.{_optimizer(training, rate)},",
            f"        loss={loss_text},",
            f'        metrics=["{metric}"],',
            "    )",
            "    return model",
        ]
    )
    return f"{_class_weight(architecture)}\n\n\n{compiled}" if training.class_weight != "none" else compiled


def _class_weight(architecture: Architecture) -> str:
    """Return the source of a function that computes the weights of `class_weight: balanced`."""
    return "\n".join(
        [
            "def balanced_class_weight(y):",
            '    """Return weights by which each class counts equally, for `fit`; `y` are NumPy labels."""',
            f"    counts = {{label: int((y == label).sum()) for label in range({architecture.classes})}}",
            "    present = {label: count for label, count in counts.items() if count}",
            "    return {label: len(y) / (len(present) * count) for label, count in present.items()}",
        ]
    )


def _optimizer(training: Training, rate: str) -> str:
    """Return the optimizer that `nas.backends.build_compiled_model` uses, as source."""
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
        case _:
            assert_never(training.optimizer)


def _module_docstring(design: Design, weights_file: str, signature: Signature | None) -> str:
    """Return the module's docstring: the network, its costs, and how to use it."""
    architecture, training = design.architecture, design.training
    costs = network_cost(architecture)
    summary = f"{architecture.name}: a" if architecture.name else "A"
    summary += f" convolutional network of {costs.params:,} parameters"
    if costs.trainable_params != costs.params:
        summary += f", {costs.trainable_params:,} of them trainable,"
    summary += f" and {_short(costs.flops)} FLOPs for one example (2 x multiply-adds)."
    shape = ", ".join(map(str, architecture.input_shape))
    values = (
        "values from 0 to 255 (do not divide)" if architecture.rescale else "values scaled as in training"
    )
    values = values if signature is None else signature.input_text()
    output = ", ".join(map(str, architecture.layers[-1].shape))
    kind = "numbers" if architecture.task == "regression" else "probabilities"
    kind = "features" if architecture.head is None else kind
    paragraphs = [
        '"""' + _plain(summary),
        *([_plain(architecture.about)] if architecture.about else []),
        *([f"Source: {_plain(architecture.source)}"] if architecture.source else []),
        _plain(f"Input: (batch, {shape}), {values}. Output: (batch, {output}), {kind}."),
    ]
    wrapped = [textwrap.fill(text, LINE_LENGTH - 4, break_long_words=False) for text in paragraphs]
    return "\n\n".join([*wrapped, _usage(architecture, training, weights_file)]) + '\n"""'


def _usage(architecture: Architecture, training: Training, weights_file: str) -> str:
    build = "build_model()"
    if architecture.head is not None:
        cosine = training.schedule == "cosine"
        steps = f", steps=20 * len(x_train) // {training.batch_size}" if cosine else ""
        build = f"compile_model({build}{steps})"
    usage = [f"    model = {build}"]
    if weights_file:
        usage.append(f'    model.load_weights("{weights_file}")')
    if architecture.head is None:
        return "\n".join(usage)
    weights = ", class_weight=balanced_class_weight(y_train)" if training.class_weight != "none" else ""
    size, labels = training.batch_size, "y_train"
    if training.softens_labels and architecture.task != "binary":
        labels = "labels"
        usage.append(f"    labels = keras.utils.to_categorical(y_train, {architecture.classes})")
    batches = batches_name(architecture, training)
    if batches:
        usage.append(f"    batches = {batches}(x_train, {labels}, {size}{weights})")
        usage.append(f"    steps = -(-len(x_train) // {size})")
        usage.append("    model.fit(batches, steps_per_epoch=steps, epochs=20, shuffle=False)")
    else:
        usage.append(f"    model.fit(x_train, {labels}, batch_size={size}, epochs=20{weights})")
    return "\n".join(usage)


def _plain(text: str) -> str:
    """Replace characters that would end or escape a docstring."""
    return " ".join(text.replace("\\", "/").replace('"', "'").split())


def _short(number: int) -> str:
    """Write a number with three digits and its unit: 1.25 million."""
    for size, word in ((10**9, "billion"), (10**6, "million"), (10**3, "thousand")):
        if number >= size:
            return f"{number / size:.3g} {word}"
    return str(number)
