"""What the README and the landing page say of the record and of the library holds."""

from __future__ import annotations

import json
import re
from pathlib import Path

from ncps_mlx._evidence.record import read_record
from ncps_mlx._evidence.reproduce import recorded
from ncps_mlx._evidence.verdicts import NOT_MEASURED, claim_verdict

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_each_claim_has_its_verdict_and_any_measured_one_can_be_measured_again() -> None:
    record = read_record(ROOT / "docs")
    for claim in record.registry.values():
        for budget in claim.budgets if claim.parts else ():
            assert claim_verdict(claim, record.verdicts, budget) != NOT_MEASURED
            assert recorded(record, claim, budget)
        assert claim.parts or any(entry["id"] == claim.id for entry in record.verdicts)
    assert set(re.findall(r"ncps-mlx reproduce ([\w-]+)", README)) <= set(record.registry)


def test_a_population_takes_less_processor_time_than_its_models_one_after_another() -> None:
    assert "[less processor time]" in README
    machines = json.loads((ROOT / "docs" / "evidence" / "bench.json").read_text(encoding="utf-8"))
    forms = [forms for machine in machines for forms in machine["parts"]["training"]["models"].values()]
    assert forms and all(each["population"]["cpu"] < each["one"]["cpu"] for each in forms)
