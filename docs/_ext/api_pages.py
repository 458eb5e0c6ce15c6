"""Sphinx: an API page for each module, written from its ``__all__``; no public name stays undocumented.

Also lets ``ncps_mlx.CfC`` (where users import it) and bare names in signatures refer to the page of the module
that defines them, and ``mx.``/``np.`` in signatures to the inventories of MLX and NumPy.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from pathlib import Path
from types import ModuleType
from typing import Any

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.pycode import ModuleAnalyzer
from sphinx.util import logging

__all__ = ["public_modules", "setup"]

logger = logging.getLogger(__name__)
PACKAGE = "ncps_mlx"
# Modules that users' programs name, in reading order; the rest follows as what these are made of.
USED = (
    PACKAGE,
    *(f"{PACKAGE}.{name}" for name in ("models", "data", "timescale", "train", "space", "knobs", "search")),
    *(f"{PACKAGE}.{name}" for name in ("halving", "records", "stats", "plots", "anomalies")),
)

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


def public_modules() -> dict[str, ModuleType]:
    """Return the package's public modules by name, the package itself first."""
    package = importlib.import_module(PACKAGE)
    found = sorted(module.name for module in pkgutil.walk_packages(package.__path__, f"{PACKAGE}."))
    public = [name for name in [PACKAGE, *found] if not any(part.startswith("_") for part in name.split("."))]
    modules = {name: importlib.import_module(name) for name in public}
    return {name: module for name, module in modules.items() if hasattr(module, "__all__")}


def home(module: ModuleType, name: str) -> str:
    """Return the full name under which ``module.name`` is documented.

    That is where it is defined; the parts of a subpackage are documented with the subpackage that hands them on.
    """
    value = getattr(module, name)
    if inspect.ismodule(value):
        return value.__name__
    where = str(getattr(value, "__module__", ""))
    if where.split(".")[0] != PACKAGE or any(part.startswith("_") for part in where.split(".")):
        where = module.__name__
    if where.count(".") > 1:
        subpackage = importlib.import_module(where.rpartition(".")[0])
        if getattr(subpackage, name, None) is value:
            where = subpackage.__name__
    listed = name in getattr(importlib.import_module(where), "__all__", ())
    return f"{where if listed else module.__name__}.{name}"


def _entry(full: str, value: Any, users: list[str]) -> str:
    if inspect.isclass(value):
        text = f".. autoclass:: {full}\n   :members:\n   :special-members: __call__\n   :show-inheritance:\n"
    elif callable(value):
        text = f".. autofunction:: {full}\n"
    else:
        text = f".. autodata:: {full}\n   :no-value:\n"
    seen_as = " ".join(dict.fromkeys([full, *users]))
    return (
        text + f"\n.. minigallery:: {seen_as}\n   :add-heading: Scripts that use it\n   :heading-level: .\n"
    )


def module_page(name: str, module: ModuleType, aliases: dict[str, list[str]]) -> str:
    """Return the source of a module's page."""
    title = f"``{name}``"
    lines = [title, "=" * len(title), "", f".. automodule:: {name}", ""]
    elsewhere = [(key, home(module, key)) for key in module.__all__ if home(module, key) != f"{name}.{key}"]
    if elsewhere:
        lines += ["Documented with the module that defines it:", ""]
        for key, full in elsewhere:
            role = "mod" if inspect.ismodule(getattr(module, key)) else "obj"
            lines += [f"* :py:{role}:`{key} <{full}>`: {_first_line(getattr(module, key))}"]
        lines += [""]
    for key in module.__all__:
        full = f"{name}.{key}"
        if home(module, key) == full:
            lines += [_entry(full, getattr(module, key), aliases.get(full, [])), ""]
    return "\n".join(lines)


def _contents(caption: str, names: list[str]) -> str:
    entries = "".join(f"   generated/{name}\n" for name in names)
    return f".. rubric:: {caption}\n\n.. toctree::\n   :maxdepth: 1\n\n{entries}\n"


def _first_line(value: Any) -> str:
    return (inspect.getdoc(value) or "").partition("\n")[0].replace("`", "").replace("*", r"\*")


def write_pages(app: Sphinx) -> None:
    """Write the pages, touching none whose text is the same."""
    folder = Path(app.srcdir) / "api" / "generated"
    folder.mkdir(parents=True, exist_ok=True)
    modules = public_modules()
    aliases: dict[str, list[str]] = {}
    for name, module in modules.items():
        for key in module.__all__:
            aliases.setdefault(home(module, key), []).append(f"{name}.{key}")
    app.env.api_aliases = {  # type: ignore[attr-defined]  # Sphinx keeps extensions' state on its environment
        alias: full for full, names in aliases.items() for alias in [*names, full.rpartition(".")[2]]
    }
    inside = [name for name in modules if name not in USED]
    pages = {f"{name}.rst": module_page(name, module, aliases) for name, module in modules.items()}
    pages["contents.txt"] = _contents("What programs use", [name for name in USED if name in modules])
    if inside:
        pages["contents.txt"] += _contents("What it is made of", inside)
    for old in folder.glob("*.rst"):
        if old.name not in pages:
            old.unlink()
    for name, text in pages.items():
        path = folder / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def point_home(app: Sphinx, env: BuildEnvironment, node: pending_xref, content: nodes.TextElement) -> Any:
    """Resolve names of ours, data in annotations too, by where they are defined; spell out other packages' prefixes."""
    if node.get("refdomain") != "py":
        return None
    target = str(node["reftarget"])
    for pattern, full in SPELLINGS:
        if found := re.fullmatch(pattern, target):
            node["reftarget"] = found.expand(full)
            return None  # the inventories know that name
    owner, _, attribute = target.rpartition(".")
    aliases: dict[str, str] = env.api_aliases  # type: ignore[attr-defined]  # set in write_pages
    ours = aliases.get(target) or (f"{aliases[owner]}.{attribute}" if owner in aliases else None)
    if ours is None:
        return None
    domain = env.domains.python_domain
    return domain.resolve_xref(env, node["refdoc"], app.builder, "obj", ours, node, content)


def check_documented(app: Sphinx, env: BuildEnvironment) -> None:
    """Warn of every public name that has no entry or no docstring."""
    del app
    documented = set(env.domains.python_domain.objects)
    for name, module in public_modules().items():
        if not inspect.getdoc(module):
            logger.warning("%s has no docstring", name)
        for key in module.__all__:
            value = getattr(module, key)
            full = home(module, key)
            if full not in documented and full not in env.domains.python_domain.modules:
                logger.warning("%s is public and has no entry in the API reference", full)
            elif not _described(full, value):
                logger.warning("%s is public and has no docstring", full)


def _described(full: str, value: Any) -> bool:
    """Tell whether a public object has a docstring of its own; data has the string (or ``#:``) beside it."""
    if inspect.isclass(value) or inspect.isroutine(value) or inspect.ismodule(value):
        return bool(inspect.getdoc(value))
    module, _, name = full.rpartition(".")
    return ("", name) in ModuleAnalyzer.for_module(module).find_attr_docs()


def keep_colons(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Keep napoleon from reading "A sentence: its end" in an attribute's docstring as a type and a text."""
    del app, name, obj, options
    if what in {"attribute", "property", "data"} and lines:
        lines[0] = f": {lines[0]}"


def show_implementations(app: Sphinx) -> None:
    """Show each function as it is written, every argument with its default; overloads serve type checkers."""
    del app
    for name in public_modules():
        analyzer = ModuleAnalyzer.for_module(name)  # kept by Sphinx for the whole build
        analyzer.analyze()
        analyzer.overloads.clear()


def public_bases(app: Sphinx, name: str, obj: Any, options: Any, bases: list[Any]) -> None:
    """Show the bases that a reader can look up: public ones of ours, other packages' classes."""
    del app, name, obj, options
    ours = [base for base in bases if str(getattr(base, "__module__", "")).split(".")[0] == PACKAGE]
    for base in ours:
        if base.__name__ not in getattr(importlib.import_module(base.__module__), "__all__", ()):
            bases[bases.index(base)] = base.__mro__[1]


def spell_aliases(app: Sphinx, domain: str, objtype: str, content: nodes.Element) -> None:
    """Write ``numpy.typing.ArrayLike`` where autodoc, in a union, writes the object that stands for it."""
    del domain, objtype, content
    for types in app.env.current_document.autodoc_annotations.values():
        for name, text in types.items():
            types[name] = re.sub(r"TypeAliasForwardRef\('([^']+)'\)", r"\1", text)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("builder-inited", write_pages)
    app.connect("builder-inited", show_implementations)
    app.connect("autodoc-process-bases", public_bases)
    app.connect("object-description-transform", spell_aliases, priority=100)
    app.connect("autodoc-process-docstring", keep_colons, priority=100)
    app.connect("missing-reference", point_home, priority=100)
    app.connect("env-check-consistency", check_documented)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
