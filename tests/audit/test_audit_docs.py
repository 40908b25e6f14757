"""The page on the audit says what the code does: budgets, thresholds, commands, the workflow."""

from __future__ import annotations

import re
import runpy
import shlex
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from typer.testing import CliRunner

from gradwarden.attack.evaluate import DRAWS
from gradwarden.attack.fgsm import FGSM
from gradwarden.attack.fmn import FMN
from gradwarden.attack.hop_skip_jump import HopSkipJump
from gradwarden.attack.pgd import PGD
from gradwarden.audit import gates, verdict
from gradwarden.audit.budgets import BUDGETS, NAIVE
from gradwarden.audit.examine import examine
from gradwarden.cli.arguments import VERDICTS
from gradwarden.cli.audit import LISTED
from gradwarden.cli.main import BAD_INPUT, INTERRUPTED, app
from gradwarden.core.balls.linf import Linf
from gradwarden.core.errors import BadInput
from gradwarden.core.estimate import mcnemar
from gradwarden.core.threat import Threat
from gradwarden.zoo import known

DOCS = Path(__file__).parents[2] / "docs"
HOOK = runpy.run_path(str(DOCS / "budgets.py"))


class Far(nn.Module):
    """Linear; its boundary lies between the ball and the box's edge."""

    def __init__(self) -> None:
        super().__init__()
        rng = torch.Generator().manual_seed(0)
        self.weight = nn.Parameter(torch.randn(16, 4, generator=rng))
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        return (x.flatten(1) - 0.5) @ self.weight


def far(n: int) -> tuple[Tensor, Tensor]:
    """x [N, 1, 4, 4] and y; no sample falls at a radius of 0.01."""
    x = torch.rand(60, 1, 4, 4, generator=torch.Generator().manual_seed(1))
    best = Far()(x).topk(2, 1)
    x = x[(best.values[:, 0] - best.values[:, 1]).argsort(descending=True)[:n]]
    return x, Far()(x).argmax(1)


@pytest.mark.parametrize(
    "budget", ["quick", "standard", pytest.param("thorough", marks=pytest.mark.slow)]
)
def test_the_table_is_what_an_audit_spends(budget: str) -> None:
    x, y = far(3)
    threat = Threat(ball=Linf(0.01))
    found = examine(Far(), x, y, threat, budget=budget)
    assert found.adaptive.value == 1.0
    _, *table = HOOK["rows"](BUDGETS[budget], threat, x, 4)  # noise has a ledger of its own
    stages = found.adaptive_ledger.stages
    assert [stage.attack for stage in stages] == [repr(row.attack) for row in table]
    for row, stage in zip(table, stages, strict=True):
        assert (stage.tried, stage.broken) == (3, 0)
        assert stage.backwards == 3 * row.price.backwards
        assert stage.forwards <= 3 * row.price.forwards
        if not at_most(row.attack):
            assert stage.forwards == 3 * row.price.forwards


def at_most(attack: Any) -> bool:
    """Whether the price is a bound: those ends early where nothing is left to gain."""
    return isinstance(attack, FMN | HopSkipJump) or getattr(attack, "give_up", False)


@pytest.mark.parametrize("budget", BUDGETS)
def test_every_budget_has_its_table_in_the_page(budget: str) -> None:
    page = (DOCS / "audit.md").read_text(encoding="utf-8")
    assert f"\n{{{{ audit {budget} }}}}\n" in page
    shown = HOOK["on_page_markdown"](page)
    assert "{{" not in shown
    lines = HOOK["table"](budget).splitlines()
    assert "\n".join(lines) in shown
    assert len({line.count("|") for line in lines}) == 1
    total = [int(n.replace(",", "")) for n in re.findall(r"\*\*([\d,]+)\*\*", lines[-1])]
    cells = [line.split("|") for line in lines[2:-1]]
    whole = [c for c in cells if c[3].strip() in ("all", "who stands")]
    assert total == [sum(int(c[at].replace(",", "")) for c in whole) for at in (4, 5)]
    with pytest.raises(BadInput, match="budget must be one of quick, standard, thorough"):
        HOOK["on_page_markdown"]("{{ audit endless }}")


PAGE = " ".join((DOCS / "audit.md").read_text(encoding="utf-8").split())


def test_every_verdict_is_explained_with_the_numbers_of_the_code() -> None:
    assert set(re.findall(r"\| (\w+) \| ", PAGE)) >= set(VERDICTS)
    for says in (
        f"the gap is {100 * verdict.MASKED:.0f} points or more, p < {verdict.MASKED_P}",
        f"the gap is {100 * verdict.OVERSTATED:.0f} points or more, p < {verdict.OVERSTATED_P}",
        f"comes within {100 * verdict.TIGHT:.0f} points of the adaptive accuracy",
        f"a gap of {100 * verdict.OVERSTATED:.0f} points or more behind a finding",
        f"breaks no more than {100 * gates.POINTS:.0f} point of all samples",
        f"less than {100 * gates.POINTS:.0f} point falls to queries",
        f"finds {100 * gates.SURE:.0f} % of the adversarial points",
        f"most of {DRAWS} fresh draws",
        f"{PGD().steps} steps of PGD",
    ):
        assert says in PAGE, says


def test_the_naive_attackers_are_those_of_the_page() -> None:
    assert (FGSM(), PGD()) == NAIVE


def test_masked_has_the_definition_of_the_zoo() -> None:
    assert (100 * verdict.MASKED, verdict.MASKED_P) == (known.POINTS, known.P_VALUE)
    least = next(k for k in range(99) if mcnemar(k, 0) < verdict.MASKED_P)
    assert f"at least {least} samples in the gap" in PAGE


def test_what_else_a_budget_spends() -> None:
    def line(says: str, *values: object) -> str:
        return f"| {says} | {' | '.join(map(str, values))} |"

    chosen = list(BUDGETS.values())
    for says in (
        line("", *BUDGETS),
        line("samples on which each module is diagnosed", *(b.diagnosed for b in chosen)),
        line("samples that stand, for the trial of each way around", *(b.probed for b in chosen)),
        line("samples of the curves of accuracy against radius", *(b.curved for b in chosen)),
        line("samples of the binarisation test", *(b.binarised or "not run" for b in chosen)),
        line(
            "steps, and queries, of the attacks of these curves",
            *(f"{b.steps}, {b.queries:,}" for b in chosen),
        ),
        line(
            "steps for which a student of the whole model is trained",
            *(b.students or "not trained" for b in chosen),
        ),
        line(
            "forwards for one gradient of a model that draws, at most",
            *(b.most_draws for b in chosen),
        ),
        line("published indicators", *("read" if b.indicators else "not run" for b in chosen)),
    ):
        assert says.replace("|  |", "| |") in PAGE, says


def test_the_workflow_is_one_that_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its command is understood to the last option, and its cache is keyed by all it depends on."""
    yaml = pytest.importorskip("yaml")
    page = (DOCS / "ci.md").read_text(encoding="utf-8")
    (text,) = re.findall(r"^```yaml[^\n]*\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    flow = yaml.safe_load(text)
    steps = flow["jobs"]["audit"]["steps"]
    (command,) = [step["run"] for step in steps if "gradwarden audit" in step.get("run", "")]
    (cache,) = [step["with"] for step in steps if "actions/cache" in step.get("uses", "")]
    upload = steps[-1]
    words = shlex.split(command)
    assert cache["path"] == words[words.index("--resume") + 1]
    assert upload["with"]["path"] == words[words.index("--out") + 1]
    assert upload["if"] == "always()"
    for name in (
        *flow[True]["pull_request"]["paths"],
        "requirements.txt",
    ):  # YAML reads "on" as True
        assert f"'{name}'" in cache["key"]

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    Path("model.py").write_text(
        "from torch import nn\ndef build(): return nn.Linear(3, 2).eval()\n"
    )
    np.savez("test.npz", x=np.zeros((4, 3), np.float32), y=np.zeros(4, np.int64))
    seen: dict[str, Any] = {}

    def fake(*_: object, **options: object) -> None:
        seen.update(options)
        raise KeyboardInterrupt

    monkeypatch.setattr(import_module("gradwarden.audit.examine"), "examine", fake)
    assert CliRunner().invoke(app, words[1:]).exit_code == INTERRUPTED
    del sys.modules["model"]
    assert (seen["budget"], seen["claim"], seen["resume"]) == ("quick", 0.45, Path("kept"))


def test_every_exit_code_is_in_the_page() -> None:
    page = (DOCS / "ci.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| (\d+) \|", page, re.MULTILINE) == [
        "0",
        *map(str, (LISTED, BAD_INPUT, INTERRUPTED)),
    ]
