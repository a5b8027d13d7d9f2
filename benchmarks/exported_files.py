"""How do exported files differ from the network that was judged, and what does it cost to judge int8 files?

    python benchmarks/exported_files.py                   digits, about 10 minutes
    python benchmarks/exported_files.py --data photos.zip --image-size 64 --space residual --trials 8
    python benchmarks/exported_files.py --trials 3 --epochs 1 --no-keep

A search with `--precision int8`, whose front is exported in every format and precision. Differences are those
of probabilities on 100 validation examples, qualities those of the whole validation split.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from _common import absolute_path, common_parser, conditions, emit, median, table

FORMATS = ("keras", "python", "saved_model", "onnx", "litert")
PRECISIONS = ("float32", "float16", "dynamic_int8", "int8")


def search_and_export(space: str, data: str, options: dict[str, Any]) -> dict[str, Any]:
    """Run a search and export its front; return the figures of each file."""
    import nas

    precision: Any = "int8"
    result = nas.search(space, data=data, precision=precision, name="files", **options)
    found = nas.find("files")
    quality = found.plan.criteria.qualities[0].name
    files: dict[str, list[dict[str, float]]] = {}
    errors = []
    for trial in found.front:
        exported = found.export(trial, formats=FORMATS, precision=PRECISIONS)
        errors.append(exported.values[f"{quality}_se"])
        for check in exported.checks:
            row = {"difference": check.difference, "agreement": check.agreement, "bytes": check.size_bytes}
            if quality in check.values:
                row["change"] = check.values[quality] - exported.values[quality]
            files.setdefault(check.name, []).append(row)
    trained = [trial for trial in found.trials if trial.seconds.get("file")]
    return {
        "data": Path(data).stem,
        "space": space,
        "trials": len(found.trials),
        "members": len(found.front),
        "quality": quality,
        "standard_error": median(errors),
        "files": files,
        "worker_time": dict(result.worker_time),
        "file_share_of_a_trial": median(one.seconds["file"] / sum(one.seconds.values()) for one in trained),
        "file_seconds": median(one.seconds["file"] / one.trainings for one in trained),
    }


def text_of(result: dict[str, Any]) -> str:
    """Return the result as Markdown."""
    found = result["exports"]
    rows = []
    for name, members in found["files"].items():
        changes = [row["change"] for row in members if "change" in row]
        rows.append(
            [
                name,
                f"{max(row['difference'] for row in members):.1g}",
                f"{min(row['agreement'] for row in members):.0%}",
                f"{100 * sum(changes) / len(changes):+.1f}" if changes else "",
                f"{100 * min(changes):+.1f}" if changes else "",
            ]
        )
    return "\n\n".join(
        (
            "# Exported files",
            f"The {found['members']} front members of a search of {found['trials']} trials of the space "
            f"{found['space']} on {found['data']} with `--precision int8`. The standard error of "
            f"{found['quality']} is {100 * found['standard_error']:.1f} points.",
            table(
                ["file", "greatest difference", "least share of equal decisions", "points, mean", "worst"],
                rows,
            ),
            f"To write and validate the int8 file of a trial takes {found['file_seconds']:.2g} s (median), "
            f"{found['file_share_of_a_trial']:.0%} of the time of a trial that is trained in full, and "
            f"{found['worker_time'].get('file', 0.0):.1%} of the workers' time of the search.",
        )
    )


def main() -> None:
    """Parse the options, measure, and print the result."""
    parser = common_parser(__doc__)
    parser.add_argument("--data", default="digits")
    parser.add_argument("--image-size", type=int)
    parser.add_argument("--train-limit", type=int)
    parser.add_argument("--trials", type=int, default=16)
    parser.add_argument("--epochs", type=int)
    options = parser.parse_args()
    data = absolute_path(options.data)
    result: dict[str, Any] = {"benchmark": "exported_files", "conditions": conditions()}
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        names = ("image_size", "train_limit", "trials", "epochs")
        settings = {name: getattr(options, name) for name in names} | {"workers": 2}
        result["exports"] = search_and_export(absolute_path(options.space), data, settings)
        os.chdir("/")
    name = f"exported_files-{Path(data).stem}"
    emit(name, result, text_of(result), options.json, not options.no_keep)


if __name__ == "__main__":
    main()
