"""Sphinx: names in signatures and prose lead to the page of the public object, whatever path they are written by.

``ncps_mlx.training.fit``, a bare ``fit`` and the private module that autodoc names all mean ``ncps_mlx.fit``; ``mx.``
and ``np.`` are spelled out for the inventories of MLX and NumPy. What is private stays out of signatures, bases and
the site's own inventory.
"""

from __future__ import annotations

import re
import sys
from functools import cache
from typing import Any

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.pycode import ModuleAnalyzer

from public_api import PACKAGE, is_private, public_modules, public_names

__all__ = ["canonical", "setup"]

# How names look in annotations (as imported, or where a package hides them), and what its inventory calls them.
SPELLINGS = (
    (r"mx\.(\w+)", r"mlx.core.\1"),
    (r"nn\.(\w+)", r"mlx.nn.\1"),
    (r"mlx\.nn\.layers\.\w+\.(\w+)", r"mlx.nn.\1"),
    (r"mlx\.optimizers\.\w+\.(\w+)", r"mlx.optimizers.\1"),
    (r"np\.(\w+)", r"numpy.\1"),
    (r"npt\.(\w+)", r"numpy.typing.\1"),
    (r"numpy\.random\._generator\.(\w+)", r"numpy.random.\1"),
    (r"NDArray|ArrayLike", r"numpy.typing.\g<0>"),
    (r"optuna\.Study", "optuna.study.Study"),
    (r"Path|pathlib\._local\.Path", "pathlib.Path"),
    (r"Figure", "matplotlib.figure.Figure"),
    (r"Axes", "matplotlib.axes.Axes"),
    (r"Transform", "matplotlib.transforms.Transform"),
)


@cache
def _aliases() -> dict[str, str]:
    """Return the documented path of every other path; a bare name means the first object of that name."""
    aliases: dict[str, str] = {}
    for name, module in public_modules().items():
        for parent in public_modules().values():
            if getattr(parent, name.rpartition(".")[2], None) is module:
                aliases[f"{parent.__name__}.{name.rpartition('.')[2]}"] = name
    for entry in sorted(public_names().values(), key=lambda entry: entry.path.count(".")):
        for path in (*entry.aliases, entry.name):
            aliases.setdefault(path, entry.path)
    return aliases


def canonical(target: str) -> str:
    """Return the documented path that ``target``, a name or a member of it, stands for; else ``target`` itself."""
    if target in _aliases():
        return _aliases()[target]
    owner, _, attribute = target.rpartition(".")
    if not owner or target in public_names() or target in public_modules():
        return target
    known = canonical(owner)
    moved = f"{known}.{attribute}"
    return target if known == owner else _aliases().get(moved, moved)


@cache
def _private_types() -> frozenset[str]:
    """Return what private modules call public there: their classes and type aliases may stand in signatures."""
    public_names()  # imports the library
    private = [module for name, module in sys.modules.items() if name.startswith(f"{PACKAGE}.") and is_private(name)]
    return frozenset(name for module in private for name in getattr(module, "__all__", ()))


def _is_private_type(target: str) -> bool:
    return target in _private_types() or (target.startswith(f"{PACKAGE}.") and is_private(target))


def _from_annotation(node: pending_xref) -> bool:
    """Tell a type in a signature or in a list of arguments from a link that someone wrote."""
    return "refexplicit" not in node or bool(node.get("refspecific"))


def resolve_alias(app: Sphinx, env: BuildEnvironment, node: pending_xref, content: nodes.TextElement) -> Any:
    """Resolve a name of ours, data in annotations too, to its page; spell out other packages' prefixes.

    A private type in a signature stays text; a link in prose to what is private fails the build.
    """
    if node.get("refdomain") != "py":
        return None
    target = str(node["reftarget"])
    for pattern, full in SPELLINGS:
        if found := re.fullmatch(pattern, target):
            node["reftarget"] = found.expand(full)
            return None  # the inventories know that name
    known = canonical(target)
    domain = env.domains.python_domain
    if known not in domain.objects:
        return content if _from_annotation(node) and _is_private_type(target) else None
    return domain.resolve_xref(env, node["refdoc"], app.builder, "obj", known, node, content)


def forget_private(app: Sphinx, env: BuildEnvironment) -> list[str]:
    """Take the private paths, which autodoc notes as second names, out of the site's inventory."""
    del app
    objects = env.domains.python_domain.objects
    for name in [name for name in objects if is_private(name)]:
        del objects[name]
    return []


def show_implementations(app: Sphinx) -> None:
    """Show each function as it is written, every argument with its default; overloads serve type checkers."""
    del app
    for module in {entry.defined_in for entry in public_names().values()}:
        analyzer = ModuleAnalyzer.for_module(module)  # kept by Sphinx for the whole build
        analyzer.analyze()
        analyzer.overloads.clear()


def public_bases(app: Sphinx, name: str, obj: Any, options: Any, bases: list[Any]) -> None:
    """Show the bases that a reader can look up: public ones of ours, other packages' classes."""
    del app, name, obj, options
    public = {id(entry.value) for entry in public_names().values()}
    for place, base in enumerate(bases):
        mro = getattr(base, "__mro__", ())
        shown = (c for c in mro if id(c) in public or c.__module__.split(".")[0] != PACKAGE)
        bases[place] = next(shown, base)


def keep_colons(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Keep napoleon from reading "A sentence: its end" in an attribute's docstring as a type and a text."""
    del app, name, obj, options
    if what in {"attribute", "property", "data"} and lines:
        lines[0] = f": {lines[0]}"


def spell_aliases(app: Sphinx, domain: str, objtype: str, content: nodes.Element) -> None:
    """Write ``numpy.typing.ArrayLike`` where autodoc, in a union, writes the object that stands for it."""
    del domain, objtype, content
    for types in app.env.current_document.autodoc_annotations.values():
        for name, text in types.items():
            types[name] = re.sub(r"TypeAliasForwardRef\('([^']+)'\)", r"\1", text)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("builder-inited", show_implementations)
    app.connect("env-updated", forget_private)
    app.connect("autodoc-process-bases", public_bases)
    app.connect("object-description-transform", spell_aliases, priority=100)
    app.connect("autodoc-process-docstring", keep_colons, priority=100)
    app.connect("missing-reference", resolve_alias, priority=100)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
