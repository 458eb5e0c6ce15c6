"""Optional packages: imported where they are used, with an error that names the cure."""

from __future__ import annotations

import importlib
from importlib.resources import files
from importlib.resources.abc import Traversable
from types import ModuleType

__all__ = ["import_optional", "package_file"]


def import_optional(module: str, purpose: str, extra: str = "guide") -> ModuleType:
    """Import a module by its dotted name; an ImportError says what needs it (``purpose``) and how to install it."""
    package = module.partition(".")[0]
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != package:
            raise  # the package is there; something inside it is not, which another install would not cure
        raise ImportError(
            f'{purpose} needs the package {package}. Install it: pip install "ncps-mlx[{extra}]"'
        ) from error


def package_file(package: str, *parts: str, purpose: str, extra: str = "guide") -> Traversable:
    """Return a data file inside an installed package, without loading the package's own loaders.

    A missing package is an ImportError, a version of it without the file a FileNotFoundError; both name the cure.
    """
    import_optional(package, purpose, extra)
    file = files(package).joinpath(*parts)
    if not file.is_file():
        raise FileNotFoundError(
            f"{purpose} needs {'/'.join(parts)} of the package {package}, which the installed version lacks. "
            f'Install the version ncps-mlx asks for: pip install "ncps-mlx[{extra}]"'
        )
    return file
