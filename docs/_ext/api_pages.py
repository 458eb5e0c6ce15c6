"""Sphinx: an API page for each module, written from its ``__all__``; no public name stays undocumented.

Also lets ``ncps_mlx.CfC`` (where users import it) and bare names in signatures refer to the page of the module
that defines them, and ``mx.``/``np.`` in signatures to the inventories of MLX and NumPy.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from pathlib import Path
from types import ModuleType
from typing import Any

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging

__all__ = ["public_modules", "setup"]

logger = logging.getLogger(__name__)
PACKAGE = "ncps_mlx"
PREFIXES = {
    "mx.": "mlx.core.",
    "nn.": "mlx.nn.",
    "np.": "numpy.",
    "npt.": "numpy.typing.",
    "optuna.Study": "optuna.study.Study",
}


def public_modules() -> dict[str, ModuleType]:
    """Return the package's public modules by name, the package itself first."""
    package = importlib.import_module(PACKAGE)
    names = [PACKAGE, *sorted(f"{PACKAGE}.{m.name}" for m in pkgutil.iter_modules(package.__path__))]
    modules = {
        name: importlib.import_module(name) for name in names if not name.rpartition(".")[2].startswith("_")
    }
    return {name: module for name, module in modules.items() if hasattr(module, "__all__")}


def home(module: ModuleType, name: str) -> str:
    """Return the full name under which ``module.name`` is documented: where it is defined."""
    value = getattr(module, name)
    if inspect.ismodule(value):
        return value.__name__
    where = getattr(value, "__module__", None)
    defined = (
        importlib.import_module(where) if isinstance(where, str) and where.startswith(PACKAGE) else module
    )
    if name in getattr(defined, "__all__", ()) and not defined.__name__.rpartition(".")[2].startswith("_"):
        return f"{defined.__name__}.{name}"
    return f"{module.__name__}.{name}"


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
    pages = {f"{name}.rst": module_page(name, module, aliases) for name, module in modules.items()}
    for old in folder.glob("*.rst"):
        if old.name not in pages:
            old.unlink()
    for name, text in pages.items():
        path = folder / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def point_home(app: Sphinx, env: BuildEnvironment, node: pending_xref, content: nodes.TextElement) -> Any:
    """Resolve names of ours by where they are defined; spell out the prefixes of other packages."""
    if node.get("refdomain") != "py":
        return None
    target = str(node["reftarget"])
    for prefix, full in PREFIXES.items():
        if target.startswith(prefix):
            node["reftarget"] = target.replace(prefix, full, 1)
            return None  # the inventories know that name
    owner, _, attribute = target.rpartition(".")
    aliases: dict[str, str] = env.api_aliases  # type: ignore[attr-defined]  # set in write_pages
    found = aliases.get(target) or (f"{aliases[owner]}.{attribute}" if owner in aliases else None)
    if found is None or found == target:
        return None
    domain = env.domains.python_domain
    return domain.resolve_xref(env, node["refdoc"], app.builder, "obj", found, node, content)


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
            elif (inspect.isclass(value) or inspect.isroutine(value)) and not inspect.getdoc(value):
                logger.warning("%s is public and has no docstring", full)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("builder-inited", write_pages)
    app.connect("missing-reference", point_home, priority=100)
    app.connect("env-check-consistency", check_documented)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
