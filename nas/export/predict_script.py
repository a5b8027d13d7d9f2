"""The example `predict.py` beside exported files: an image file in, the answer out."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from nas.data import Signature

__all__ = ["predict_source"]

LOADERS = {
    "keras": (
        ".keras",
        """
        import keras

        return keras.saving.load_model(path)(x, training=False).numpy()
        """,
    ),
    "python": (
        ".py",
        """
        sys.path.insert(0, str(path.parent))
        network = importlib.import_module(path.stem).build_model()
        network.load_weights(path.with_suffix(".weights.h5"))
        return network(x, training=False).numpy()
        """,
    ),
    "litert": (
        ".tflite",
        """
        from ai_edge_litert.interpreter import Interpreter

        interpreter = Interpreter(str(path))
        interpreter.allocate_tensors()
        (taken,), (given,) = interpreter.get_input_details(), interpreter.get_output_details()
        interpreter.set_tensor(taken["index"], to_tensor(x, taken))
        interpreter.invoke()
        return from_tensor(interpreter.get_tensor(given["index"]), given)
        """,
    ),
    "onnx": (
        ".onnx",
        """
        import onnxruntime

        return onnxruntime.InferenceSession(path).run(None, {"input": x})[0]
        """,
    ),
    "saved_model": (
        "",
        """
        import tensorflow

        loaded = tensorflow.saved_model.load(str(path))
        return loaded.signatures["serving_default"](input=tensorflow.constant(x))["output_0"].numpy()
        """,
    ),
}
"""Suffix of each format, and the statements that run a file `path` on inputs `x`."""

INTEGERS = '''
def to_tensor(x, details):
    """Return an input with the type of a tensor: integers have a scale and a zero point."""
    if details["dtype"] == np.float32:
        return x
    scale, zero = details["quantization"]
    return np.rint(x / scale + zero).clip(-128, 127).astype(details["dtype"])


def from_tensor(y, details):
    """Return an output as float32."""
    scale, zero = details["quantization"]
    return y if details["dtype"] == np.float32 else (y.astype(np.float32) - zero) * scale
'''

ANSWERS = {
    "classification": """
        best = outputs.argmax()
        print(f"{LABELS[best]} ({outputs[best]:.1%})")
        """,
    "binary": """
        print(f"{LABELS[int(outputs[0] > 0.5)]} ({max(outputs[0], 1 - outputs[0]):.1%})")
        """,
    "multi_label": """
        print(", ".join(f"{name} ({p:.1%})" for name, p in zip(LABELS, outputs) if p > 0.5) or "no label")
        """,
    "regression": """
        print(", ".join(f"{name} {number:.6g}" for name, number in zip(LABELS, outputs)))
        """,
    "segmentation": """
        mask = outputs.argmax(axis=-1)  # the label of each pixel
        shares = {name: (mask == n).mean() for n, name in enumerate(LABELS)}
        print(", ".join(f"{name} {share:.1%}" for name, share in shares.items() if share))
        """,
}
"""The statements that print the outputs of one example, by task."""


def predict_source(signature: Signature, task: str, files: Sequence[tuple[str, str]], integers: bool) -> str:
    """Return the source of a script that needs NumPy, Pillow and the runtime of a model file.

    task: of the network. files: format and name of each exported file; the default is LiteRT, which loads
    fastest, else the first. integers: whether a LiteRT file has integers at input and output.
    """
    files = sorted(files, key=lambda file: file[0] != "litert")
    formats = list(dict.fromkeys(name for name, _ in files))
    images = _reads_images(signature)
    imports = ["import importlib"] * ("python" in formats) + ["import sys", "from pathlib import Path"]
    libraries = ["import numpy as np", *["from PIL import Image, ImageOps"] * images]
    what = "FILE" if not images else "IMAGE"
    names = ", ".join(name for _, name in files)
    docstring = [
        f'"""Run an exported network: python predict.py {what} [MODEL]',
        "",
        *textwrap.wrap(f"Input: {_plain(signature.input_text())}.", 100, break_long_words=False),
        *textwrap.wrap(f"MODEL: {names}.", 100, break_long_words=False),
        '"""',
    ]
    parts = [
        "\n".join([*docstring, "", *imports, "", *libraries]),
        "FOLDER = Path(__file__).parent\n"
        'LABELS = (FOLDER / "labels.txt").read_text(encoding="utf-8").splitlines()',
        _read_input(signature, images),
        *([INTEGERS.strip()] if integers else []),
        _run_function(formats, integers),
        _main(task, files[0][1], what),
    ]
    return "\n\n\n".join([f"{parts[0]}\n\n{parts[1]}", *parts[2:]]) + "\n"


def _plain(text: str) -> str:
    return text.replace("\\", "/").replace('"', "'")


def _reads_images(signature: Signature) -> bool:
    """Return whether an image file can become an input: its pixels have a known meaning."""
    return signature.feeding.channels in ("RGB", "grey") and _scaling(signature) is not None


def _scaling(signature: Signature) -> str | None:
    """Return the expression of an input from the pixels of an image, 0 to 255; None if there is none."""
    feeding = signature.feeding
    low, high = feeding.value_range
    if feeding.rescale:
        return "pixels"
    if low >= 0.0 and high <= 1.0:
        return "pixels / 255"
    return "pixels / 127.5 - 1" if low >= -1.0 and high <= 1.0 else None


def _read_input(signature: Signature, images: bool) -> str:
    shape = (1, *signature.input_shape)
    array = [
        '    """Return the input of an array in a .npy file, with values as the docstring says."""',
        f"    return np.load(path).astype(np.float32).reshape({shape})",
    ]
    if not images:
        return "\n".join(["def read_input(path):", *array])
    feeding = signature.feeding
    height, width = signature.input_shape[:2]
    mode, background = ("L" if feeding.channels == "grey" else "RGB"), feeding.background or "white"
    lines = [
        "def read_input(path):",
        '    """Return the input of an image file, prepared as the images of the training were."""',
        "    image = Image.open(path)",
    ]
    if feeding.resize:
        lines += [
            '    if image.format == "JPEG":',
            f"        image.draft(image.mode, {(2 * width, 2 * height)})  # decodes a large photo smaller",
        ]
    lines += ["    image = ImageOps.exif_transpose(image)", *_eight_bits(feeding.value_range)]
    lines += [
        "    if image.has_transparency_data:",
        f'        below = Image.new("RGBA", image.size, "{background}")',
        '        image = Image.alpha_composite(below, image.convert("RGBA"))',
        f'    image = image.convert("{mode}")',
    ]
    if feeding.resize:
        lines.append(f"    image = image.resize({(width, height)}, Image.Resampling.BILINEAR)")
    else:
        lines += [
            f"    if image.size != {(width, height)}:",
            f'        sys.exit(f"the image must have {width}x{height} pixels, got {{image.size}}")',
        ]
    return "\n".join(
        [
            *lines,
            f"    pixels = np.asarray(image, np.float32).reshape({shape})  # 0 to 255: do not divide"
            if feeding.rescale
            else f"    pixels = np.asarray(image, np.float32).reshape({shape})",
            f"    return {_scaling(signature)}",
        ]
    )


def _eight_bits(value_range: tuple[float, float]) -> list[str]:
    """Return the statements for an image with more than 8 bits a channel."""
    low, high = value_range
    if (low, high) in ((0.0, 255.0), (0.0, 1.0)) or high <= low:
        return [
            '    if image.mode[0] in "IF":',
            '        sys.exit(f"the image must have 8 bits a channel, got {image.mode}")',
        ]
    return [
        '    if image.mode[0] in "IF":  # more than 8 bits a channel',
        f"        values = (np.asarray(image, np.float64) - {low:g}) * (255 / {high - low:g})",
        "        image = Image.fromarray(np.rint(values).clip(0, 255).astype(np.uint8))",
    ]


def _run_function(formats: Sequence[str], integers: bool) -> str:
    lines = ["def run(path, x):", '    """Return the outputs of a model file."""']
    for name in formats:
        suffix, code = LOADERS[name]
        if name == "litert" and not integers:
            code = code.replace("to_tensor(x, taken)", "x")
            code = code.replace('from_tensor(interpreter.get_tensor(given["index"]), given)',
                                'interpreter.get_tensor(given["index"])')  # fmt: skip
        condition = f'path.suffix == "{suffix}"' if suffix else "path.is_dir()"
        lines += [f"    if {condition}:", textwrap.indent(textwrap.dedent(code).strip(), "        ")]
    known = ", ".join(sorted(LOADERS[name][0] or "a SavedModel" for name in formats))
    lines.append(f'    sys.exit(f"the model must be one of {known}, got {{path}}")')
    return "\n".join(lines)


def _main(task: str, default: str, what: str) -> str:
    answer = textwrap.indent(textwrap.dedent(ANSWERS[task]).strip(), "    ")
    return "\n".join(
        [
            'if __name__ == "__main__":',
            "    if len(sys.argv) not in (2, 3):",
            f'        sys.exit("usage: python predict.py {what} [MODEL]")',
            f'    model = Path(sys.argv[2]) if len(sys.argv) == 3 else FOLDER / "{default}"',
            "    outputs = run(model, read_input(sys.argv[1]))[0]",
            answer,
        ]
    )
