"""The interfaces of the packages: what `import-linter` cannot say."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import nas

ROOT = Path(nas.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))
PACKAGES = sorted(path.parent.name for path in ROOT.glob("*/__init__.py"))


def package_of(path: Path) -> str:
    parts = path.relative_to(ROOT).parts
    return parts[0] if len(parts) > 1 else ""


def imports(path: Path) -> Iterator[tuple[str, str, int]]:
    """Yield (module, name, line) of each `from nas... import name` in a file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "nas":
            for alias in node.names:
                yield str(node.module), alias.name, node.lineno


def exported(package: str) -> set[str]:
    tree = ast.parse((ROOT / package / "__init__.py").read_text(encoding="utf-8"))
    found = [node.value for node in tree.body if isinstance(node, ast.Assign)]
    return {str(element.value) for value in found for element in getattr(value, "elts", [])}


def test_other_packages_are_imported_by_their_interface():
    broken = []
    for path in FILES:
        for module, name, line in imports(path):
            parts = module.split(".")
            other = parts[1] if len(parts) > 1 else name
            if other not in PACKAGES or other == package_of(path):
                continue
            if len(parts) > 2:
                broken.append(f"{path.relative_to(ROOT)}:{line}: import {name} from nas.{other}")
            elif len(parts) == 2 and name not in exported(other):
                broken.append(f"{path.relative_to(ROOT)}:{line}: {name} is not in nas.{other}.__all__")
    assert not broken, "\n".join(broken)


def test_names_with_an_underscore_stay_in_their_package():
    broken = []
    for path in FILES:
        for module, name, line in imports(path):
            parts = module.split(".")
            private = name.startswith("_") or any(part.startswith("_") for part in parts)
            if private and (len(parts) < 2 or parts[1] != package_of(path)):
                broken.append(f"{path.relative_to(ROOT)}:{line}: {module}.{name}")
    assert not broken, "\n".join(broken)


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_states_its_purpose_and_exports_what_others_use(package):
    assert ast.get_docstring(ast.parse((ROOT / package / "__init__.py").read_text(encoding="utf-8")))
    used = {
        name
        for path in FILES
        if package_of(path) != package
        for module, name, _ in imports(path)
        if module == f"nas.{package}"
    }
    public = {name for name, owner in nas._PACKAGE_OF.items() if owner == package}
    assert exported(package) <= used | public | ({"app", "main"} if package == "cli" else set())


def test_modules_are_short_or_say_why_not():
    long = []
    for path in FILES:
        text = path.read_text(encoding="utf-8")
        doc = ast.get_docstring(ast.parse(text)) or ""
        if text.count("\n") > 350 and "350 lines" not in doc:
            long.append(f"{path.relative_to(ROOT)}: {text.count(chr(10))} lines")
    assert not long, "\n".join(long)


def test_the_command_line_loads_no_large_library_for_its_help():
    code = (
        "import sys\nfrom nas import cli\ntry:\n    cli.main(['--help'])\nexcept SystemExit:\n    pass\n"
        "print(sorted({'numpy', 'keras', 'tensorflow', 'mlflow', 'optuna', 'pydantic'} & set(sys.modules)),"
        " file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
