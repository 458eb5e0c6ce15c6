"""One model trained in every form: what each computes is compared, then they take turns."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from tests.bench.models import FORMS, MEMBERS, Form
from tests.bench.parent import Children, Times, rounds

__all__ = ["TOLERANCE", "differences", "drawn", "train"]

TOLERANCE = {"outputs": 5e-6, "losses": 5e-6, "gradients": 2e-4}
"""How far forms may differ: outputs by this, losses and norms of gradients by this share of what they are."""

TURN = 150.0  # milliseconds of a turn: enough to time, little enough for the same load on the machine


@contextmanager
def drawn(model: Mapping[str, Any], children: Children, members: int = MEMBERS) -> Iterator[str]:
    """A folder with a model's weights and data: see :mod:`tests.bench.weights`."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "model.json").write_text(json.dumps(dict(model)))
        children.get("weights").ask(call="draw", settings={"folder": folder, "members": members, **model})
        yield folder


def train(
    folder: str, forms: Mapping[str, Form], count: int, children: Children, *, quick: bool = False
) -> tuple[dict[str, Times], dict[str, Any]]:
    """Let forms train in turns.

    Args:
        folder: Weights and data; a form's settings may name another.
        forms: By key.
        count: Turns of each.
        children: Processes; one that trained a form before forgets that case.
        quick: A turn is one step.

    Returns:
        Times by form; and what each computed before it trained, for :func:`differences`.
    """
    cases, computed = {}, {}
    for key, form in forms.items():
        child = children.get(form.child, native=form.native)
        settings = {"folder": folder, **form.settings}
        if form.members > 1:
            settings["members"] = form.members
        computed[key] = child.ask(make=key, kind=form.kind, settings=settings)
        steps = 1 if quick else round(TURN / child.ask(run=key, steps=1)[0])
        cases[key] = child, min(max(1, steps), 50)
    return rounds(cases, count), computed


def differences(computed: Mapping[str, Mapping[str, Any] | None]) -> list[str]:
    """A message for each form that computes something else than the first of most members, as far as both go."""
    told = {key: each for key, each in computed.items() if each is not None}
    if not told:
        return []
    first = max(told, key=lambda key: len(told[key]["losses"]))
    messages = []
    for key, each in told.items():
        for name, bound in TOLERANCE.items():
            ours, theirs = (np.asarray(found[name]) for found in (told[first], each))
            ours = ours[: len(theirs)]
            apart = np.abs(ours - theirs) / (1.0 if name == "outputs" else np.abs(ours))
            if not (apart <= bound).all():
                messages.append(
                    f"{FORMS[key].name} and {FORMS[first].name} differ in {name} by {np.max(apart):.1e}; "
                    f"at most {bound:g} is allowed."
                )
    return messages
