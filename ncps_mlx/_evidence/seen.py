"""What a check saw."""

from __future__ import annotations

import contextlib
import importlib
import io
from dataclasses import dataclass

__all__ = ["NotHereError", "Seen", "command_output"]


@dataclass(frozen=True)
class Seen:
    """What a check saw.

    Attributes:
        holds: Whether the assertion holds.
        text: What was seen, in a sentence that is the same on any machine.
    """

    holds: bool
    text: str


class NotHereError(Exception):
    """What a check needs is not here: the pages, or the site that is built of them."""


def command_output(*arguments: str) -> str:
    """What a command prints. The command line lies above this package, which may not import it."""
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        status = importlib.import_module("ncps_mlx.__main__").main(list(arguments))
    if status != 0:
        raise RuntimeError(f"ncps-mlx {' '.join(arguments)} must end well, got {status}.")
    return printed.getvalue()
