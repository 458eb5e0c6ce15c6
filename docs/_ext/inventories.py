"""Write the small inventories that links to other projects need (they are committed; building needs no network).

Usage: ``python docs/_ext/inventories.py [PYTHON_OBJECTS_INV]``. Python's is thinned from a whole one (Debian's
``python3-doc`` has it); those of the packages come from looking at what is installed.
"""

from __future__ import annotations

import importlib
import inspect
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

__all__ = ["package_lines", "write_inventory"]

FOLDER = Path(__file__).resolve().parents[1] / "_inventories"

# Which names of a package we may refer to, and the page that documents each.
PACKAGES: dict[str, dict[str, str]] = {
    "mlx": {
        "mlx.core": "python/_autosummary/{name}.html#{name}",
        "mlx.nn": "python/nn/_autosummary/{name}.html#{name}",
        "mlx.nn.init": "python/nn/_autosummary/{name}.html#{name}",
        "mlx.optimizers": "python/optimizers/_autosummary/{name}.html#{name}",
    },
    "numpy": {
        "numpy": "reference/generated/{name}.html#{name}",
        "numpy.random": "reference/random/generated/{name}.html#{name}",
        "numpy.typing": "reference/typing.html#{name}",
    },
    "optuna": {
        "optuna": "reference/generated/{name}.html#{name}",
        "optuna.study": "reference/generated/{name}.html#{name}",
        "optuna.trial": "reference/generated/{name}.html#{name}",
        "optuna.samplers": "reference/samplers/generated/{name}.html#{name}",
        "optuna.storages": "reference/generated/{name}.html#{name}",
    },
    "matplotlib": {
        "matplotlib.figure": "api/figure_api.html#{name}",
        "matplotlib.axes": "api/_as_gen/{name}.html#{name}",
        "matplotlib.transforms": "api/transformations.html#{name}",
    },
}
PYTHON_PARTS = (
    "abc",
    "builtins",
    "collections",
    "dataclasses",
    "pathlib",
    "typing",
    "numbers",
    "types",
    "os",
    "enum",
)


def package_lines(modules: dict[str, str]) -> Iterator[str]:
    """Yield inventory lines for the public classes, functions and data of modules."""
    for module_name, page in modules.items():
        module = importlib.import_module(module_name)
        for key in sorted(vars(module)):
            value: Any = getattr(module, key)
            if key.startswith("_") or inspect.ismodule(value):
                continue
            kind = "function" if callable(value) else "data"
            if inspect.isclass(value) or module_name == "numpy.typing":  # its aliases stand where classes do
                kind = "class"
            name = f"{module_name}.{key}"
            yield f"{name} py:{kind} 1 {page.format(name=name)} -"


def python_lines(whole: Path) -> Iterator[str]:
    """Yield the lines of Python's inventory that signatures and prose refer to."""
    data = whole.read_bytes()
    for _ in range(4):
        data = data[data.index(b"\n") + 1 :]
    for line in zlib.decompress(data).decode().splitlines():
        name, role, *_ = line.split(" ")
        top, builtin = name.split(".")[0], "." not in name and role.split(":")[0] == "py"
        if role in PYTHON_ROLES and (builtin or top in PYTHON_PARTS):
            yield line


PYTHON_ROLES = (
    "py:class",
    "py:exception",
    "py:function",
    "py:data",
    "py:module",
    "py:method",
    "py:attribute",
)


def write_inventory(name: str, lines: list[str]) -> None:
    """Write an inventory of Sphinx's second format."""
    header = f"# Sphinx inventory version 2\n# Project: {name}\n# Version: \n"
    header += "# The remainder of this file is compressed using zlib.\n"
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / f"{name}.inv").write_bytes(
        header.encode() + zlib.compress("\n".join(lines).encode() + b"\n", 9)
    )


if __name__ == "__main__":
    for package, parts in PACKAGES.items():
        write_inventory(package, list(package_lines(parts)))
    if len(sys.argv) > 1:
        write_inventory("python", list(python_lines(Path(sys.argv[1]))))
