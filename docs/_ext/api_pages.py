"""Sphinx: the API reference. An index of every public name, a page per public package, a page per public object.

A name is listed once in the index; packages list their names with a line each. Nothing private has a page.
"""

from __future__ import annotations

import inspect
from itertools import takewhile
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging

from public_api import PACKAGE, PublicName, public_modules, public_names

__all__ = ["pages", "setup"]

logger = logging.getLogger(__name__)


def _heading(text: str, underline: str) -> str:
    return f"{text}\n{underline * len(text)}\n\n"


def _first_line(docstring: str) -> str:
    return docstring.partition("\n")[0]


def _line(entry: PublicName, shown: str) -> str:
    return f"* :py:obj:`{shown} <{entry.path}>`: {_first_line(entry.docstring)}\n"


def _contents(entries: dict[str, str]) -> str:
    """Return a toctree: it orders the pages for the sidebar and for "previous" and "next"."""
    rows = "".join(f"   {title} <{page}>\n" for title, page in entries.items())
    return f"\n.. toctree::\n   :hidden:\n\n{rows}"


def _members(kind: type) -> str:
    """Name the members that a class has from private bases of ours: they have no page but the class's own.

    Without such bases autodoc finds the members itself.
    """
    public = {entry.value for entry in public_names().values() if inspect.isclass(entry.value)}
    bases = kind.__mro__[1:]
    private = list(takewhile(lambda base: base not in public and base.__module__.split(".")[0] == PACKAGE, bases))
    if not private:
        return ""
    held = {name: value for base in reversed([kind, *private]) for name, value in vars(base).items()}
    methods = [name for name, value in held.items() if inspect.isroutine(value) or isinstance(value, property)]
    return " " + ", ".join(name for name in methods if not name.startswith("_"))


def object_page(entry: PublicName) -> str:
    """Return the source of a public object's page: its docstring, its members, the scripts that use it."""
    module, _, name = entry.path.rpartition(".")
    if inspect.isclass(entry.value):
        options = f"   :members:{_members(entry.value)}\n   :special-members: __call__\n   :show-inheritance:\n"
        text = f".. autoclass:: {entry.path}\n{options}"
    elif not entry.is_data:
        text = f".. autofunction:: {entry.path}\n"
    else:  # autodoc looks for its docstring where it is listed, not where it is defined
        lines = "\n".join(f"   {line}".rstrip() for line in entry.docstring.splitlines())
        kind = f"   :type: {entry.annotation}\n" if entry.annotation else ""
        text = f".. py:data:: {name}\n   :module: {module}\n{kind}\n{lines}\n"
    paths = " ".join(entry.listed)
    scripts = f".. minigallery:: {paths}\n   :add-heading: Scripts that use it\n   :heading-level: .\n"
    return f"{_heading(f'``{entry.path}``', '=')}{text}\n{scripts}"


def module_page(module_name: str) -> str:
    """Return the source of a public package's page: its docstring, and a line for each of its names."""
    module = public_modules()[module_name]
    listed = {f"{module_name}.{name}": name for name in module.__all__}
    by_path = {path: entry for entry in public_names().values() for path in entry.listed}
    text = f"{_heading(f'``{module_name}``', '=')}.. automodule:: {module_name}\n\n"
    for path, name in listed.items():
        if path in by_path:
            text += _line(by_path[path], name)
        else:
            inner = getattr(module, name)
            text += f"* :py:mod:`{name} <{inner.__name__}>`: {_first_line(inspect.getdoc(inner) or '')}\n"
    own = [entry for entry in public_names().values() if entry.module == module_name]
    return text + (_contents({entry.name: entry.page for entry in own}) if own else "")


def index() -> str:
    """Return the sections of the index: every public name with a line, under the package it belongs to."""
    text = ""
    for module_name, module in public_modules().items():
        text += _heading(f":py:mod:`{module_name}`", "-") + _first_line(inspect.getdoc(module) or "") + "\n\n"
        own = [entry for entry in public_names().values() if entry.module == module_name]
        text += "".join(_line(entry, entry.path.removeprefix(f"{PACKAGE}.")) for entry in own) + "\n"
    return text + _contents({name.removeprefix(f"{PACKAGE}."): f"generated/{name}" for name in public_modules()})


def pages() -> dict[str, str]:
    """Return the source of every generated file, by its name."""
    modules = {f"{name}.rst": module_page(name) for name in public_modules()}
    objects = {f"{entry.page}.rst": object_page(entry) for entry in public_names().values()}
    return {**modules, **objects, "contents.txt": index()}


def write_pages(app: Sphinx) -> None:
    """Write the pages, touching none whose text is the same."""
    folder = Path(app.srcdir) / "api" / "generated"
    folder.mkdir(parents=True, exist_ok=True)
    sources = pages()
    for old in folder.glob("*.rst"):
        if old.name not in sources:
            old.unlink()
    for name, text in sources.items():
        path = folder / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def check_documented(app: Sphinx, env: BuildEnvironment) -> None:
    """Warn of every public name that has no entry or no docstring."""
    del app
    documented = set(env.domains.python_domain.objects)
    for name, module in public_modules().items():
        if not inspect.getdoc(module):
            logger.warning("%s has no docstring", name)
    for path, entry in public_names().items():
        if path not in documented:
            logger.warning("%s is public and has no entry in the API reference", path)
        elif not entry.docstring:
            logger.warning("%s is public and has no docstring", path)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("builder-inited", write_pages)
    app.connect("env-check-consistency", check_documented)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
