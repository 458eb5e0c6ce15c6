"""Record whether an LTC of ncps (PyTorch) reads time: on glucose, with the gaps until the next reading, and without.

``python ncps_ltc.py`` trains what ``ncps_ltc.jsonl`` beside this file lacks and adds each training as it ends. It needs
torch and ncps 1.0.1 beside the extra ``guide``. Trained like the level ``full`` of the pool ``ltc``, long budget: 16
neurons, each connected with all, and a linear readout; six solver steps; Adam, batches of 32, a cosine schedule,
gradients clipped at 1, of ten evaluations the parameters of the best kept; data drawn with the training's seed.
"""

from __future__ import annotations

import copy
import json
import math
from itertools import product
from pathlib import Path
from typing import Any

import ncps.torch
import numpy as np
import torch

from ncps_mlx import Task
from ncps_mlx.data import glucose

RECORD = Path(__file__).with_suffix(".jsonl")
FORMS = ("gaps", "no time", "mixed memory")
RATES = (0.01, 0.03)
SEEDS = range(4)
UNITS, UNFOLDS, BATCH, STEPS = 16, 6, 32, 300


class Reader(torch.nn.Module):
    """An LTC of ncps and a linear readout of its last state.

    The cell is called step by step: ncps's own loop takes time steps for a batch of one sequence alone.
    """

    def __init__(self, *, mixed: bool) -> None:
        super().__init__()
        self.rnn = ncps.torch.LTC(1, UNITS, mixed_memory=mixed, ode_unfolds=UNFOLDS)
        self.readout = torch.nn.Linear(UNITS, 1)

    def forward(self, x: torch.Tensor, gaps: torch.Tensor) -> torch.Tensor:
        """Read sequences (B, T, 1) with time steps (B, T)."""
        h = c = y = torch.zeros(len(x), UNITS)
        for t in range(x.shape[1]):
            if self.rnn.use_mixed:
                h, c = self.rnn.lstm(x[:, t], (h, c))
            y, h = self.rnn.rnn_cell(x[:, t], h, gaps[:, t, None])
        return self.readout(y)


def tensors(task: Task, split: str, *, timed: bool) -> tuple[torch.Tensor, ...]:
    """Inputs, time steps in the mean gap, and targets of a split."""
    data = task.splits[split]
    gaps = np.ones(data.x.shape[:2], dtype=np.float32)
    if timed:
        gaps = task.time_scaler("normalized").transform(data.time_delta).astype(np.float32)
    return tuple(torch.tensor(np.array(each)) for each in (data.x, gaps, data.y))


def train(form: str, rate: float, seed: int) -> dict[str, Any]:
    """Train one and return what is recorded of it."""
    task = glucose(2000, 500, 1000, readings=8, seed=seed)
    splits = {split: tensors(task, split, timed=form != "no time") for split in task.splits}
    torch.manual_seed(seed)
    model = Reader(mixed="mixed" in form)
    optimizer = torch.optim.Adam(model.parameters(), rate)
    rng = np.random.default_rng([seed, 0])
    rows = np.concatenate([rng.permutation(len(task.train)) for _ in range(-(-STEPS * BATCH // len(task.train)))])

    def score(split: str) -> float:
        with torch.no_grad():
            return task.score(model(*splits[split][:2]).numpy(), split)

    best, kept = math.inf, copy.deepcopy(model.state_dict())
    for step in range(1, STEPS + 1):
        for group in optimizer.param_groups:
            group["lr"] = rate * (1 + math.cos(math.pi * (step - 1) / STEPS)) / 2
        x, gaps, y = (each[rows[(step - 1) * BATCH : step * BATCH]] for each in splits["train"])
        optimizer.zero_grad()
        torch.nn.functional.mse_loss(model(x, gaps), y).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % (STEPS // 10) == 0 and (found := score("validation")) < best:
            best, kept = found, copy.deepcopy(model.state_dict())
    model.load_state_dict(kept)
    scores = {split: float(f"{score(split):.6g}") for split in task.splits}
    versions = {"ncps": "1.0.1", "torch": torch.__version__, "numpy": np.__version__}
    about = {"task": "glucose", "form": form, "learning_rate": rate, "seed": seed, "steps": STEPS}
    return about | {"scores": scores, "data": task.data_hash, "versions": versions}


def main() -> None:
    """Train what is missing."""
    torch.set_num_threads(1)
    text = RECORD.read_text(encoding="utf-8") if RECORD.exists() else ""
    rows = [json.loads(line) for line in text.splitlines()]
    known = {tuple(row[key] for key in ("form", "learning_rate", "seed")) for row in rows}
    for seed, rate, form in product(SEEDS, RATES, FORMS):
        if (form, rate, seed) not in known:
            row = train(form, rate, seed)
            with RECORD.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row, sort_keys=True) + "\n")
            print(form, rate, seed, row["scores"], flush=True)


if __name__ == "__main__":
    main()
