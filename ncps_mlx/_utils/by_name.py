"""What users bring, by the path that names it: ``"module:function"``, or ``"folder/file.py:function"``."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

__all__ = ["import_by_name", "name_of"]

OF_A_FILE = "_ncps_mlx_file_"  # how the modules of files are called in this process


def import_by_name(argument: str, path: str) -> Any:
    """Return what a path names; an error names the argument that held it."""
    module, _, name = path.rpartition(":")
    if not module or not name.isidentifier():
        raise ValueError(f"{argument} must be 'module:function' or 'file.py:function', got {path!r}.")
    found = getattr(_import_module(argument, module), name, None)
    if not callable(found):
        raise ValueError(f"{argument} must name a function, got {path!r}: {module} has no function {name}.")
    return found


def name_of(function: Any) -> str | None:
    """The path under which another process finds a function or a class; ``None`` for one that lives here alone."""
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", None)
    if not isinstance(module, str) or not isinstance(name, str) or module.startswith(("__main__", OF_A_FILE)):
        return None
    return f"{module}:{name}" if getattr(sys.modules.get(module), name, None) is function else None


def _import_module(argument: str, name: str) -> ModuleType:
    """Import a module by its name, or a file that lies here."""
    if not name.endswith(".py"):
        folder = str(Path.cwd())  # a worker looks where it was started, as a script would
        if folder not in sys.path:
            sys.path.append(folder)
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{name}.".startswith(f"{error.name}."):
                raise  # the module is there, and lacks another
            raise ModuleNotFoundError(
                f"{argument} must name a module that can be imported, got {name!r}: {error.name} is neither installed "
                f"nor in {folder}.",
                name=error.name,
            ) from error
    path = Path(name).resolve()
    known = f"{OF_A_FILE}{path.stem}_{abs(hash(path))}"
    if known not in sys.modules:
        spec = importlib.util.spec_from_file_location(known, path)
        if spec is None or spec.loader is None or not path.is_file():
            raise ValueError(f"{argument} must name a file that is there, got {name}.")
        module = importlib.util.module_from_spec(spec)
        sys.modules[known] = module
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[known]
            raise
    return sys.modules[known]
