"""The layer table of docs/architecture.md, generated from pyproject.toml and package docstrings.

`python -m tests.support.layer_table` prints it.
"""

import ast
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


def importlinter() -> dict[str, Any]:
    """Settings of the import linter."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    return dict(settings)


def table() -> list[str]:
    """Lines of the table, lowest layer first; packages of one layer in alphabetical order."""
    (contract,) = (c for c in importlinter()["contracts"] if c["type"] == "layers")
    lines = ["| layer | folder | what it contains |", "|---|---|---|"]
    for number, layer in enumerate(reversed(contract["layers"]), 1):
        lines += [f"| {number} | `{name}/` | {sentence(name)} |" for name in layer.split(" | ")]
    return lines


def sentence(package: str) -> str:
    """The docstring of a package."""
    text = (ROOT / package / "__init__.py").read_text()
    return " ".join((ast.get_docstring(ast.parse(text)) or "").split())


if __name__ == "__main__":
    print("\n".join(table()))
