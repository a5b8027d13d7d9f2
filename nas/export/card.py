"""The model card beside exported files: what the network is, how good, and how to feed, load and train it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from nas.architecture import Design, network_cost
from nas.backends import integer_scales
from nas.data import Signature
from nas.export.comparison import FileCheck

__all__ = ["CARD", "CardFacts", "card_text", "read_origin"]

CARD = "model_card.md"

ORIGIN = "export: "
"""Start of the line of the card's front matter that says which export a folder holds."""

LOADING = {
    "keras": 'model = keras.saving.load_model("{file}")  # compiled, ready for fit',
    "python": (
        'import {stem}  # {file}\nnetwork = {stem}.build_model()\nnetwork.load_weights("{stem}.weights.h5")'
    ),
    "litert": 'interpreter = ai_edge_litert.interpreter.Interpreter("{file}")  # batch size 1',
    "onnx": 'outputs = onnxruntime.InferenceSession("{file}").run(None, {{"input": x}})[0]',
    "saved_model": (
        'loaded = tensorflow.saved_model.load("{file}")\n'
        'outputs = loaded.signatures["serving_default"](input=x)["output_0"]'
    ),
}
"""How each format is loaded, in Python."""


@dataclass(frozen=True)
class CardFacts:
    """What a card says that the files do not."""

    origin: str  # which export the folder holds: the network and its weights
    title: str
    data: Sequence[str]  # sentences
    figures: Sequence[tuple[str, str, str]]  # name, value with its standard error, meaning
    file_qualities: Mapping[str, Mapping[str, str]]  # by quality, the text for each file that has it
    training: Sequence[str]  # sentences about how the network was trained
    notes: Sequence[str]  # sentences about the files: what was compared, what is doubtful
    train_further: str  # a command


def read_origin(folder: Path) -> str:
    """Return the origin in the card of a folder, '' if it has none."""
    path = folder / CARD
    if not path.is_file():
        return ""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()[:10]
    return next((line.removeprefix(ORIGIN) for line in lines if line.startswith(ORIGIN)), "")


def card_text(
    design: Design, facts: CardFacts, signature: Signature | None, checks: Sequence[FileCheck]
) -> str:
    """Return the card as Markdown; without a signature it does not say what input and output mean."""
    costs = network_cost(design.architecture)
    rows = [
        *facts.figures,
        ("parameters", f"{costs.params:,}", ""),
        ("FLOPs", f"{costs.flops:,}", "2 x multiply-adds of one example"),
        ("peak activations", f"{costs.peak_bytes:,} bytes", "float32, batch size 1"),
    ]
    sections = {
        "Network": [
            f"A convolutional network for {_task(design)}, found by architecture search (`nas`). "
            f"`architecture.yaml` describes it; its id is `{design.architecture.id}`.",
        ],
        "Data": [*facts.data, *([_classes(signature)] if signature else [])],
        "Figures": [_table(("figure", "value", ""), rows)],
        "Files": [*_files(checks, facts.file_qualities), *facts.notes],
        "Input and output": [*(_feeding(signature) if signature else []), *_integers(checks)],
        "Load": _loading(checks),
        "Train further": [*facts.training, f"```console\n$ {facts.train_further}\n```"],
        "Limits": [
            "The figures hold for data like those of the search. Those of the validation split, by which the "
            "network was chosen, are slightly optimistic: judge the network on examples that played no part "
            "in the search. An input that belongs to no class gets one nevertheless, "
            "and probabilities are not calibrated.",
        ],
        "Licence": ["Unknown: that of the data and of whoever publishes the network decides."],
    }
    body = "\n\n".join("\n\n".join([f"## {title}", *parts]) for title, parts in sections.items() if parts)
    front = f"---\nlibrary_name: keras\n{ORIGIN}{facts.origin}\n---\n\n"
    return f"{front}# {facts.title}\n\n{body}\n"


def _task(design: Design) -> str:
    names = {"binary": "two classes", "multi_label": "several labels", "regression": "numbers"}
    return names.get(design.architecture.task, design.architecture.task)


def _classes(signature: Signature) -> str:
    kinds = {"regression": "numbers", "multi_label": "labels", "segmentation": "labels of pixels"}
    kind = kinds.get(signature.task, "classes")
    return f"{len(signature.classes)} {kind}, in `labels.txt`."


def _feeding(signature: Signature) -> list[str]:
    """Return how to feed the network, and what goes wrong in silence if the input is prepared differently."""
    feeding = signature.feeding
    found = [f"**Input**: {signature.input_text()}.", f"**Output**: {signature.output_text()}."]
    if feeding.rescale:
        found.append(
            "The network divides by 255 itself: fed with values from 0 to 1, it answers at random, without "
            "an error."
        )
    if feeding.resize:
        found.append(
            "Resize with bilinear interpolation and antialiasing, as `PIL.Image.resize(size, "
            "Image.Resampling.BILINEAR)` does; nearest-neighbour interpolation costs accuracy."
        )
    return found


def _integers(checks: Sequence[FileCheck]) -> list[str]:
    """Return scale and zero point of integer tensors."""
    found = []
    for check in checks:
        scales = integer_scales(check.path.read_bytes()) if check.path.suffix == ".tflite" else {}
        for name, (scale, zero) in scales.items():
            found.append(
                f"`{check.path.name}` has an int8 {name}: value = (integer - ({zero})) * {scale:.9g}, so "
                f"integer = round(value / {scale:.9g}) + ({zero})."
            )
    return found


def _files(checks: Sequence[FileCheck], qualities: Mapping[str, Mapping[str, str]]) -> list[str]:
    if not checks:
        return []
    columns = ("file", "bytes", "greatest difference", "equal decisions")
    rows = [
        (
            f"`{check.path.name}`",
            f"{check.size_bytes:,}",
            "-" if check.difference is None else f"{check.difference:.2g}",
            "-" if check.agreement is None else f"{check.agreement:.1%}",
            *(texts.get(check.name, "-") for texts in qualities.values()),
        )
        for check in checks
    ]
    return [_table((*columns, *qualities), rows)]


def _loading(checks: Sequence[FileCheck]) -> list[str]:
    names = [(check.name.split(".")[0], check.path) for check in checks]
    lines = [LOADING[name].format(file=path.name, stem=path.stem) for name, path in names]
    return ["```python\n" + "\n\n".join(lines) + "\n```"] if lines else []


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines)
