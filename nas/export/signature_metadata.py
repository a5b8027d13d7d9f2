"""Write a signature to the files of networks, and read it again."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

from nas.backends import pack_model, unpack_model
from nas.data import Signature

__all__ = [
    "KEY",
    "add_to_keras",
    "add_to_litert",
    "metadata",
    "read_from_keras",
    "read_from_litert",
    "read_from_onnx",
]

KEY = "nas"
"""Name of the entry in a LiteRT file's metadata and in the configuration of a `.keras` file."""

CONFIG = "config.json"  # in a .keras file: the architecture; Keras ignores other keys at its top level


def metadata(signature: Signature) -> dict[str, str]:
    """Return texts by name: input and output in words, and the class names and all of it as JSON."""
    return {
        "input": signature.input_text(),
        "output": signature.output_text(),
        "classes": json.dumps(list(signature.classes), ensure_ascii=False),
        "signature": signature.model_dump_json(),
    }


def add_to_litert(content: bytes, signature: Signature) -> bytes:
    """Return a LiteRT file with a description and an entry `nas` of JSON in its metadata."""
    from ai_edge_litert import schema_py_generated as schema

    model = unpack_model(content)
    model.description = signature.text()
    buffer, entry = schema.BufferT(), schema.MetadataT()
    buffer.data = list(json.dumps(metadata(signature), ensure_ascii=False).encode())
    entry.name, entry.buffer = KEY, len(model.buffers)
    model.buffers.append(buffer)
    model.metadata = [*(model.metadata or []), entry]
    return pack_model(model)


def add_to_keras(path: Path, signature: Signature) -> None:
    """Add the key `nas` to the configuration of a `.keras` file."""
    changed = path.with_name(f"{path.name}.labelled")
    with zipfile.ZipFile(path) as before, zipfile.ZipFile(changed, "w") as after:
        for entry in before.infolist():
            content = before.read(entry)
            if entry.filename == CONFIG:
                config: dict[str, Any] = json.loads(content)
                content = json.dumps({**config, KEY: signature.model_dump(mode="json")}).encode()
            after.writestr(entry, content)
    shutil.move(changed, path)


def read_from_keras(path: Path) -> Signature | None:
    """Return the signature of a `.keras` file, None if it has none."""
    with zipfile.ZipFile(path) as file:
        values = json.loads(file.read(CONFIG)).get(KEY)
    return None if values is None else Signature.model_validate(values)


def read_from_litert(content: bytes) -> Signature | None:
    """Return the signature of a LiteRT file, None if it has none."""
    model = unpack_model(content)
    for entry in model.metadata or []:
        if entry.name in (KEY, KEY.encode()):
            return _parsed(json.loads(bytes(model.buffers[entry.buffer].data)))
    return None


def read_from_onnx(path: Path) -> Signature | None:
    """Return the signature of an ONNX file, None if it has none."""
    import onnx

    properties = onnx.load(str(path), load_external_data=False).metadata_props
    return _parsed({entry.key: entry.value for entry in properties})


def _parsed(texts: dict[str, str]) -> Signature | None:
    text = texts.get("signature")
    return None if text is None else Signature.model_validate_json(text)
