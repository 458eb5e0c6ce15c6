"""The calls of a seed, one wrong argument each, and what came of one."""

from __future__ import annotations

import ast
import inspect
import random
import re
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import ncps_mlx
from tests.fuzz.targets import Target, arguments_of, has_arguments, targets
from tests.fuzz.values import wrong_values

__all__ = ["CLEAR", "Call", "calls", "judge"]

CLEAR = "clear"
LIBRARY = str(Path(ncps_mlx.__file__).parent)
EXPECTED = (ValueError, TypeError, OSError)


@dataclass(frozen=True)
class Call:
    """One wrong call.

    Attributes:
        target: What is called.
        argument: Which argument is wrong; of variable ones the name or the place.
        kind: How it is wrong.
        number: Which of its kind.
        value: The wrong value.
        right: The one that would be right.
    """

    target: Target
    argument: str
    kind: str
    number: int
    value: Any
    right: Any = None

    def __str__(self) -> str:
        return f"{self.target}({self.argument}={self.value!r:.60}) [{self.kind}]"

    def arguments(self) -> inspect.BoundArguments:
        """The right arguments with the wrong one among them."""
        bound = arguments_of(self.target)
        name, _, part = self.argument.partition("/")
        if not part:
            bound.arguments[name] = self.value
        elif isinstance(bound.arguments[name], tuple):
            parts = list(bound.arguments[name])
            parts[int(part)] = self.value
            bound.arguments[name] = tuple(parts)
        else:
            bound.arguments[name] = {**bound.arguments[name], part: self.value}
        return bound


def calls(seed: int, only: str = "") -> list[Call]:
    """All calls of a seed in its order; ``only`` keeps those whose name holds it."""
    found = [
        call
        for target in targets()
        if only in target.name and has_arguments(target)
        for call in _of(target, seed)
    ]
    random.Random(seed).shuffle(found)
    return found


def _of(target: Target, seed: int) -> Iterator[Call]:
    bound = arguments_of(target)
    for name, valid in bound.arguments.items():
        kind = bound.signature.parameters[name].kind
        parts: dict[str, Any] = {name: valid}
        if kind == inspect.Parameter.VAR_KEYWORD:
            parts = {f"{name}/{key}": value for key, value in valid.items()}
        elif kind == inspect.Parameter.VAR_POSITIONAL:
            parts = {f"{name}/{i}": value for i, value in enumerate(valid)}
        for argument, right in parts.items():
            rng = random.Random(f"{seed} {target} {argument}")
            for number, (wrong, value) in enumerate(wrong_values(right, rng)):
                yield Call(target, argument, wrong, number, value, right)


def judge(call: Call, error: BaseException | None) -> tuple[str, str]:
    """What came of a call, in a word, and the error's text.

    ``clear``: an error of ours that names the argument before it says what it got, or a warning. ``unnamed``: one of
    ours that does not. ``raw``: another's text, from inside. ``accepted``: none.
    """
    if error is None:
        return "accepted", ""
    text = f"{type(error).__name__}: {error}"
    frame, line = list(traceback.walk_tb(error.__traceback__))[-1]
    file = frame.f_code.co_filename
    raised = file.startswith(LIBRARY) and _is_raise(file, line)
    lookup = call.target.name.endswith("__getitem__") and isinstance(error, LookupError)  # as of any mapping
    if isinstance(error, UserWarning) and file.startswith(LIBRARY):
        return CLEAR, text  # accepted, with a word; errors here
    if not (isinstance(error, EXPECTED) or lookup) or not raised:
        return "raw", f"{text} at {Path(file).name}:{line}"
    name, _, part = call.argument.partition("/")
    names = {part, name} - {"", *map(str, range(10))} | _changed_keys(call.value, call.right)
    said = re.sub(r"(?<=\w )a (?=\w)", "", str(error).partition(", got ")[0])  # what is wrong and the rule; no article
    named = any(re.search(rf"(?<![a-zA-Z]){re.escape(each)}(?:s)?(?![a-zA-Z])", said) for each in names)
    return (CLEAR if (named or lookup) and "got" in str(error) else "unnamed"), text


def _changed_keys(value: Any, right: Any) -> set[str]:
    """The keys of a mapping whose values are wrong: an error may name one instead, for it is an argument too."""
    if not isinstance(value, Mapping) or not isinstance(right, Mapping):
        return set()
    return {key for key in value if isinstance(key, str) and value[key] is not right.get(key)}


def _is_raise(file: str, line: int) -> bool:
    """Whether the statement at this line raises an error."""
    return any(first <= line <= last for first, last in _raises(file))


@cache
def _raises(file: str) -> list[tuple[int, int]]:
    """First and last lines of a file's raise statements."""
    tree = ast.parse(Path(file).read_text(encoding="utf-8"))
    return [
        (node.lineno, node.end_lineno or node.lineno)
        for node in ast.walk(tree)
        if isinstance(node, ast.Raise)
    ]
