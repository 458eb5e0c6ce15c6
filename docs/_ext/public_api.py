"""The library's public names: the packages that list them, the path users import each by, its other paths."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any

from sphinx.pycode import ModuleAnalyzer

__all__ = ["PACKAGE", "PublicName", "is_private", "public_modules", "public_names"]

PACKAGE = "ncps_mlx"
# The reader's order: build a model, train it on data, search, look at what was found; then the parts.
ORDER = (
    PACKAGE,
    *(f"{PACKAGE}.{name}" for name in ("models", "training", "losses", "data", "data.baselines", "search")),
    *(f"{PACKAGE}.{name}" for name in ("records", "claims", "stats", "plots", "wirings", "cells")),
)


@dataclass(frozen=True)
class PublicName:
    """A public object: ``path`` is how users import it, ``module`` is the public package it belongs to."""

    path: str
    module: str
    value: Any
    listed: tuple[str, ...]  # every public path that leads to the object

    @property
    def name(self) -> str:
        """The object's name within its module."""
        return self.path.rpartition(".")[2]

    @property
    def page(self) -> str:
        """The name of its page: a class says so where a function differs by case alone, as file systems may not."""
        twins = [path for path in public_names() if path != self.path and path.lower() == self.path.lower()]
        return f"{self.path}-class" if twins and inspect.isclass(self.value) else self.path

    @property
    def is_data(self) -> bool:
        """Whether it is neither class nor function: then its docstring stands below its assignment."""
        return not (inspect.isclass(self.value) or inspect.isroutine(self.value))

    @property
    def defined_in(self) -> str:
        """The module, private ones included, that defines the object."""
        if not self.is_data:
            return str(self.value.__module__)
        for name, module in sorted(sys.modules.items()):
            holds = name.split(".")[0] == PACKAGE and vars(module).get(self.name) is self.value
            if holds and ("", self.name) in ModuleAnalyzer.for_module(name).find_attr_docs():
                return name
        return self.module

    @property
    def docstring(self) -> str:
        """The object's own docstring; empty if it has none."""
        if not self.is_data:
            return inspect.getdoc(self.value) or ""
        lines = ModuleAnalyzer.for_module(self.defined_in).find_attr_docs().get(("", self.name), [])
        return "\n".join(lines).strip()

    @property
    def annotation(self) -> str | None:
        """The type written where data is assigned."""
        annotations = ModuleAnalyzer.for_module(self.defined_in).annotations
        return annotations.get(("", self.name))

    @property
    def aliases(self) -> tuple[str, ...]:
        """Every other path to the object: the public ones, and the one that annotations are resolved to."""
        defined = f"{self.defined_in}.{getattr(self.value, '__qualname__', self.name)}"
        return tuple(path for path in dict.fromkeys([*self.listed, defined]) if path != self.path)


def is_private(path: str) -> bool:
    """Tell whether any part of a dotted path begins with ``_``; ``__call__`` and its like are public."""
    return any(part.startswith("_") and not part.endswith("__") for part in path.split("."))


def _walk(name: str) -> Iterator[ModuleType]:
    module = importlib.import_module(name)
    if hasattr(module, "__all__"):
        yield module
    for found in pkgutil.iter_modules(getattr(module, "__path__", ()), f"{name}."):
        if not found.name.rpartition(".")[2].startswith("_"):
            yield from _walk(found.name)


@cache
def public_modules() -> dict[str, ModuleType]:
    """Return the public packages and modules by name, in reading order; those it does not know come last."""
    found = {module.__name__: module for module in _walk(PACKAGE)}
    return {name: found[name] for name in [*(n for n in ORDER if n in found), *sorted(set(found) - set(ORDER))]}


@cache
def public_names() -> dict[str, PublicName]:
    """Return every public object once, by the path users import it by, in reading order.

    What the top package lists is imported from there and belongs to the package below that lists it too.
    """
    paths: dict[tuple[str, int], list[str]] = {}
    for module_name, module in public_modules().items():
        for name in module.__all__:
            value = getattr(module, name)
            if not inspect.ismodule(value):
                paths.setdefault((name, id(value)), []).append(f"{module_name}.{name}")
    found = []
    for listed in paths.values():
        homes = [path.rpartition(".")[0] for path in listed]
        home = next((home for home in homes if home != PACKAGE), PACKAGE)
        value = getattr(public_modules()[home], listed[0].rpartition(".")[2])
        found.append(PublicName(listed[0], home, value, tuple(listed)))
    place = {
        f"{name}.{key}": (row, column)
        for row, (name, module) in enumerate(public_modules().items())
        for column, key in enumerate(module.__all__)
    }
    found.sort(key=lambda entry: place[f"{entry.module}.{entry.name}"])
    return {entry.path: entry for entry in found}
