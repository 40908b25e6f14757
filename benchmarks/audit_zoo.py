"""The audit on the zoo's models, blind: who is called what, who is at fault, how low accuracy falls.

Every model is given as plain modules without names that tell, and without declared stand-ins. The
figures that are claimed are those of the held-out half: `python benchmarks/audit_zoo.py`.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from audit_rivals import RIVALS

from gradwarden import zoo
from gradwarden.audit.examine import examine
from gradwarden.core.errors import GradwardenError
from gradwarden.core.estimate import Estimate, proportion
from gradwarden.core.records import Finding, from_json

OUT = Path(__file__).parent / "results"
RIVALS_SEE = 100  # samples
WITHIN = 0.01  # of the best known accuracy
MISSES = ("consistent", "certified")


@dataclass(frozen=True, kw_only=True)
class Line:
    """One model: what is known of it, and what the audit says."""

    name: str
    masked: bool  # known
    module: str | None  # known to be at fault, as a path in the blind model
    naive: float
    best: float  # known
    verdict: str
    named: tuple[str, ...]  # modules that findings name
    patches: tuple[str, ...]
    adaptive: float
    red: tuple[str, ...]
    rivals: dict[str, bool | None]  # what each says: masked, not masked, no answer
    seconds: float

    @property
    def at_fault(self) -> bool:
        """Whether the module at fault, or one inside it, was named."""
        return self.module is not None and any(
            path == self.module or path.startswith(self.module + ".") for path in self.named
        )


def line(name: str, budget: str, rivals: bool) -> Line:
    torch.set_num_threads(1)
    known, (x, y) = zoo.answers(name), zoo.data(name)
    began = time.perf_counter()
    model, threat = zoo.load(name, blind=True), zoo.entry(name).threat
    told: dict[str, Any] = {"verdict": "crashed", "named": (), "patches": (), "adaptive": 1.0}
    try:
        found = examine(model, x, y, threat, budget=budget, use_declared=False)
        told = {
            "verdict": found.verdict,
            "named": tuple(sorted({f.module for f in found.findings if _blames(f)})),
            "patches": found.patches,
            "adaptive": found.adaptive.value,
        }
        red = tuple(gate.name for gate in found.gates if gate.state == "red")
    except (GradwardenError, RuntimeError, ValueError, TypeError, LookupError) as why:
        red = (f"{type(why).__name__}: {why}",)
    return Line(
        name=name,
        masked=known.masked,
        module=known.module,
        naive=known.naive.value,
        best=known.best.value,
        red=red,
        seconds=time.perf_counter() - began,
        rivals=_rivals(name) if rivals else {},
        **told,
    )


def _blames(finding: Finding) -> bool:
    """Whether it says of a module that it hides the gradient."""
    return finding.module is not None and finding.cure != "not needed"


def _rivals(name: str) -> dict[str, bool | None]:
    """Each on a fresh copy of the blind model and the first samples."""
    x, y = (part[:RIVALS_SEE] for part in zoo.data(name))
    threat = zoo.entry(name).threat
    return {
        title: rival(zoo.load(name, blind=True), x, y, threat).masked
        for title, rival in RIVALS.items()
    }


def table(lines: Sequence[Line]) -> Iterator[str]:
    yield "| model | known | naive | best known | audit says | adaptive | module at fault | named | seconds |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for one in lines:
        known = "masked" if one.masked else "honest"
        named = ", ".join(path or "(root)" for path in one.named) or "-"
        fault = "-" if one.module is None else one.module or "(root)"
        yield (
            f"| {one.name} | {known} | {one.naive:.1%} | {one.best:.1%} | {one.verdict} | "
            f"{one.adaptive:.1%} | {fault} | {named} | {one.seconds:.0f} |"
        )


def summary(lines: Sequence[Line]) -> Iterator[str]:
    masked = [one for one in lines if one.masked]
    honest = [one for one in lines if not one.masked]
    faulty = [one for one in masked if one.module is not None]
    near = [one for one in lines if one.adaptive <= one.best + WITHIN]
    rows = [
        ("masked models called masked (at least 80 %)", _is(masked, "masked"), masked),
        ("... called consistent or certified (at most 5 %)", _is(masked, *MISSES), masked),
        ("honest models called masked (none)", _is(honest, "masked"), honest),
        ("honest models called consistent or certified", _is(honest, *MISSES), honest),
        ("module at fault named (at least 90 %)", [o for o in faulty if o.at_fault], faulty),
        ("honest models in which a module is blamed", [o for o in honest if o.named], honest),
        ("adaptive accuracy within 1 point of the best known", near, lines),
    ]
    yield "| | k of n | share | 95 % interval |"
    yield "|---|---|---|---|"
    for says, some, of in rows:
        share: Estimate = proportion(len(some), len(of))
        yield (
            f"| {says} | {len(some)} of {len(of)} | {share.value:.0%} | "
            f"{share.low:.0%} to {share.high:.0%} |"
        )


def beside(lines: Sequence[Line]) -> Iterator[str]:
    """The same models, called by others."""
    yield "| | masked called masked | honest called masked | no answer |"
    yield "|---|---|---|---|"
    ours = {one.name: one.verdict == "masked" for one in lines}
    calls: dict[str, dict[str, bool | None]] = {"gradwarden audit": dict(ours)}
    for title in lines[0].rivals:
        calls[title] = {one.name: one.rivals[title] for one in lines}
    for title, said in calls.items():
        hits, alarms = (
            [said[one.name] for one in lines if one.masked is masked] for masked in (True, False)
        )
        silent = sum(word is None for word in said.values())
        yield f"| {title} | {_share(hits)} | {_share(alarms)} | {silent} of {len(lines)} |"


def _share(said: Sequence[bool | None]) -> str:
    k, n = sum(word is True for word in said), len(said)
    share = proportion(k, n)
    return f"{k} of {n} ({share.low:.0%} to {share.high:.0%})"


def _is(lines: Sequence[Line], *verdicts: str) -> list[Line]:
    return [one for one in lines if one.verdict in verdicts]


def kept(path: Path) -> list[Line]:
    """What an earlier run kept; with --only, the models that are not named stay as they are."""
    if not path.exists():
        return []
    found = json.loads(path.read_text(encoding="utf-8"))
    return [from_json(json.dumps(one), Line) for one in found]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--half", default="held-out", choices=("development", "held-out"))
    parser.add_argument("--budget", default="standard")
    parser.add_argument("--only", default="")
    parser.add_argument("--rivals", action="store_true", help="ask other tools too")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--keep", action="store_true", help="in benchmarks/results")
    given = parser.parse_args()
    names = [n for n in given.only.split(",") if n] or list(zoo.names(given.half))
    with ProcessPoolExecutor(given.processes) as pool:
        jobs = [pool.submit(line, name, given.budget, given.rivals) for name in names]
        for job in as_completed(jobs):
            print(asdict(job.result()), flush=True)
        fresh = [job.result() for job in jobs]
    path = OUT / f"audit_zoo_{given.half}.json"
    old = {one.name: one for one in kept(path)} if given.keep and given.only else {}
    every = old | {one.name: one for one in fresh}
    lines = [every[name] for name in zoo.names(given.half) if name in every]
    parts = [
        f"# The audit on the zoo's {given.half} half, blind, budget {given.budget}",
        "",
        f"`python benchmarks/audit_zoo.py {' '.join(sys.argv[1:])}`".replace(" `", "`"),
        "",
        *table(lines),
        "",
        *summary(lines),
    ]
    if given.rivals:
        parts += ["", "## Beside other tools, on the same models", "", *beside(lines)]
    text = "\n".join(parts)
    print(text)
    if given.keep:
        path.with_suffix(".md").write_text(text + "\n", encoding="utf-8")
        record = json.dumps([asdict(one) for one in lines], indent=1)
        path.write_text(record + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
