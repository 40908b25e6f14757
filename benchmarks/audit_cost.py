"""What an audit costs beside AutoAttack's standard version, on the same 500 images of one honest net.

CPU time in one process each, one thread, one run: `python benchmarks/audit_cost.py` prints the
table and keeps it in benchmarks/results/audit_cost.md. With `--device cuda` it is the clock's time,
in audit_cost_cuda.md. An adversarially trained net is the dear case: most samples stand to the end
of both.
"""

from __future__ import annotations

import argparse
import multiprocessing
import time
from pathlib import Path
from typing import Any

import torch
from attack_autoattack import Counted, autoattack, on_digits, trained
from torch import Tensor, nn

from gradwarden.audit.examine import examine
from gradwarden.core.provenance import environment

NET = "PGD-AT 0.1"
IMAGES = 500
RESULTS = Path(__file__).parent / "results"
TARGETS = {"quick": 1 / 20, "standard": 1 / 3}  # of AutoAttack's time
AIMS = {"standard": 1 / 6}


class Passes:
    """Samples that go through a model, counted outside of it: an audit puts a model's state back."""

    def __init__(self, model: nn.Module) -> None:
        self.spent = {"forwards": 0, "backwards": 0}
        model.register_forward_hook(self._forward)

    def _forward(self, module: nn.Module, given: tuple[Tensor, ...], logits: Tensor) -> None:
        del module, given
        self.spent["forwards"] += len(logits)
        if logits.requires_grad:
            logits.register_hook(self._backward)

    def _backward(self, grad: Tensor) -> None:
        self.spent["backwards"] += len(grad)


def measure(tool: str, device: str) -> dict[str, Any]:
    """Seconds, passes, accuracy left and, of an audit, its verdict."""
    torch.set_num_threads(1)
    case = on_digits()[NET]
    x, y = (part[:IMAGES].to(device) for part in case.held_out())
    model = Counted(trained(NET, case), lambda x: x).eval().to(device)
    model(x)  # a device's first call loads its libraries
    passes = Passes(model)
    clock = time.process_time if device == "cpu" else time.perf_counter
    began, verdict = clock(), "-"
    if tool == "AutoAttack":
        left = float(autoattack(model, x, y, case.threat, 10, False).double().mean())
    else:
        found = examine(model, x, y, case.threat, budget=tool)
        left, verdict = found.adaptive.value, found.verdict
    return {
        "seconds": clock() - began,
        "forwards": passes.spent["forwards"],
        "backwards": passes.spent["backwards"],
        "left": left,
        "verdict": verdict,
    }


def render(rows: dict[str, dict[str, Any]], device: str) -> str:
    theirs = rows["AutoAttack"]["seconds"]
    how, where = "", f"CPU time, one run. {environment().get('processor', '')}".strip()
    if device == "cuda":
        how, where = (
            " --device cuda",
            f"seconds of the clock, one run. {torch.cuda.get_device_name()}",
        )
    lines = [
        "# What an audit costs",
        "",
        f"`python benchmarks/audit_cost.py{how}`: {NET}, {IMAGES} images, one thread, {where}",
        "",
        "| | seconds | of AutoAttack's | forwards | backwards | accuracy left | verdict |",
        "|---|---|---|---|---|---|---|",
    ]
    for tool, row in rows.items():
        lines.append(
            f"| {tool} | {row['seconds']:.1f} | {row['seconds'] / theirs:.3f} | {row['forwards']:,} "
            f"| {row['backwards']:,} | {row['left']:.1%} | {row['verdict']} |"
        )
    lines.append("")
    for names, word in ((TARGETS, "target"), (AIMS, "aim")):
        for tool, share in names.items():
            took = rows[tool]["seconds"] / theirs
            met = "met" if took <= share else "**missed**"
            lines.append(f"- {tool}: {word} {share:.3f} of AutoAttack's time, {took:.3f}: {met}")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    device: str = parser.parse_args().device
    rows = {}
    for tool in ("AutoAttack", "quick", "standard"):
        # A process each, one after the other, so that none warms up for the next.
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            rows[tool] = pool.apply(measure, (tool, device))
        print(tool, rows[tool], flush=True)
    text = render(rows, device)
    name = "audit_cost.md" if device == "cpu" else f"audit_cost_{device}.md"
    (RESULTS / name).write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
