"""Optional packages: imported where they are used, with an error that names the cure."""

from __future__ import annotations

import importlib
from importlib.resources import files
from importlib.resources.abc import Traversable
from types import ModuleType

__all__ = ["package_file", "require"]


def require(module: str, purpose: str, extra: str = "guide") -> ModuleType:
    """Import ``module`` and return it.

    Args:
        module: Dotted name of the module, such as ``"sklearn.linear_model"``.
        purpose: What needs it, for the message.
        extra: The extra of ncps-mlx that installs it.

    Raises:
        ImportError: Its package is not installed; the message gives the pip command.

    Example:
        >>> require("json", "this example").dumps([1])
        '[1]'
        >>> require("no_such_module", "this example")
        Traceback (most recent call last):
        ...
        ImportError: this example needs the package no_such_module. Install it: pip install "ncps-mlx[guide]"
    """
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

    Args:
        package: Name of the package that carries the file.
        *parts: Path of the file below the package.
        purpose: What needs it, for the message.
        extra: The extra of ncps-mlx that installs the package.

    Raises:
        ImportError: The package is not installed; the message gives the pip command.
        FileNotFoundError: The installed version of the package does not carry the file.

    Example:
        >>> package_file("numpy", "__init__.py", purpose="this example").name
        '__init__.py'
    """
    require(package, purpose, extra)
    file = files(package).joinpath(*parts)
    if not file.is_file():
        raise FileNotFoundError(
            f"{purpose} needs {'/'.join(parts)} of the package {package}, which the installed version lacks. "
            f'Install the version ncps-mlx asks for: pip install "ncps-mlx[{extra}]"'
        )
    return file
