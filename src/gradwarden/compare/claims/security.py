"""What the claims on security share: of the images that fall without a defence, how many does one
save, and against which attacker?
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gradwarden.compare.claims.words import from_parts, judged, not_run, share
from gradwarden.compare.pooling import over_nets, shares_over_nets
from gradwarden.compare.results import Defended, Results
from gradwarden.core.comparison import Answer
from gradwarden.core.display import Row, Table
from gradwarden.core.estimate import Estimate, mcnemar, paired_shares, proportion

HALF = 0.5
SMALLEST = 0.1  # ten points from one half
FOLLOWER, ADAPTIVE = "naive", "adaptive"  # attackers: fields of `Defended`
ATTACKER = {FOLLOWER: "FGSM and PGD", ADAPTIVE: "the adaptive attack"}


Pair = tuple[Defended, Defended]


def defended_by(results: Results, defence: str) -> list[Defended]:
    """The runs under `defence` (its name, "" for none), by seed."""
    return sorted((r for r in results.defended if r.defence == defence), key=lambda r: r.seed)


def paired(results: Results, first: str, second: str) -> list[Pair]:
    """The runs of two defences, of the seeds that both have."""
    other = {run.seed: run for run in defended_by(results, second)}
    return [(run, other[run.seed]) for run in defended_by(results, first) if run.seed in other]


def saved(control: Defended, defence: Defended, attacker: str) -> Estimate:
    """Of the images that the undefended net loses to `attacker`, but not to noise of the same size,
    the share that stays right under the defence."""
    fallen = [
        n == "1" and a == "0"
        for n, a in zip(control.noise, getattr(control, attacker), strict=True)
    ]
    right = getattr(defence, attacker)
    kept = sum(f and r == "1" for f, r in zip(fallen, right, strict=True))
    return proportion(kept, sum(fallen))


def kept(pairs: Sequence[Pair], attacker: str) -> Estimate:
    """`saved`, over the nets of all seeds."""
    return shares_over_nets([saved(control, defence, attacker) for control, defence in pairs])


def difference(found: Sequence[tuple[str, str]]) -> Estimate:
    """Share right in the first minus that in the second, sample by sample, over all pairs."""
    cells = [("1", "1"), ("1", "0"), ("0", "1"), ("0", "0")]
    each = [list(zip(*pair, strict=True)) for pair in found]
    return over_nets([paired_shares(*map(pairs.count, cells)) for pairs in each])


def claim(
    results: Results,
    defences: tuple[str, ...],
    attacker: str,
    *,
    id: str,
    text: str,
    about: str,
    sample: str,
) -> Answer:
    """Supported where each of `defences` saves most of the samples, each a `sample`, from `attacker`."""
    found = {name: pairs for name in defences if (pairs := paired(results, "", name))}
    if not found:
        return not_run(id, text, about, "no attacks on a defended and an undefended net")
    if not any(kept(pairs, attacker).n for pairs in found.values()):
        why = f"without a defence no {sample} falls to {ATTACKER[attacker]} that noise leaves right"
        return not_run(id, text, about, why)
    parts = tuple(
        _part(f"{id}.{n}", name, kept(pairs, attacker), attacker, about, sample)
        for n, (name, pairs) in enumerate(found.items(), 1)
    )
    says = f"Of the {sample}s lost to {ATTACKER[attacker]} without a defence, " + "; ".join(
        f"{name} saves {share(kept(pairs, attacker))}" for name, pairs in found.items()
    )
    how = (
        f"Of the {sample}s that the undefended net loses to {ATTACKER[attacker]}, but not to random "
        f"noise of the same size, the share that stays right under the defence; same {sample}s and "
        "attacks. Null one half, smallest effect 10 points from it; exact Clopper-Pearson "
        "interval; over several nets the mean of their log odds. Accuracies in the table: exact "
        "McNemar p-value against the undefended net."
    )
    table = accuracies(results, sample)
    figures = ("radius",)
    if len(parts) == 1:
        return replace(
            parts[0], id=id, claim=text, says=f"{says}.", how=how, table=table, figures=figures
        )
    return from_parts(
        id=id,
        claim=text,
        about=about,
        says=f"{says}.",
        how=how,
        parts=parts,
        table=table,
        figures=figures,
    )


def _part(id: str, name: str, effect: Estimate, attacker: str, about: str, sample: str) -> Answer:
    return judged(
        id=id,
        claim=f"{name} saves most {sample}s from {ATTACKER[attacker]}.",
        about=about,
        says=f"{name} saves {share(effect)} of {effect.n} {sample}s.",
        how=f"Share of {sample}s saved, null one half.",
        effect=effect,
        null=HALF,
        smallest=SMALLEST,
        unit=f"share of {sample}s saved",
        subject=name,
        scale="share",
    )


def accuracies(results: Results, sample: str) -> Table:
    """Every defence under every attacker, on the same samples, over the nets of all seeds."""
    rows = []
    for name in dict.fromkeys(run.defence for run in results.defended):
        runs = defended_by(results, name)
        pairs = paired(results, "", name) if name else []
        cells = (
            name or "no defence",
            str(len(runs)),
            *(percent([getattr(r, kind) for r in runs]) for kind in ("clean", "noise", "fgsm")),
            *(share(shares_over_nets([_accuracy(bits) for bits in some])) for some in _under(runs)),
            _gradient(runs),
            _p([(control.naive, run.naive) for control, run in pairs]),
            _p([(control.adaptive, run.adaptive) for control, run in pairs]),
        )
        rows.append(Row(cells=cells, pick=runs[0].purpose == "mask"))
    columns = (
        "defence",
        "nets",
        "clean",
        "noise",
        "FGSM",
        "PGD",
        "adaptive",
        "own gradient",
        "p, naive",
        "p, adaptive",
    )
    first = results.defended[0]
    size = f" at radius {first.radius:g}" if first.radius else ""
    note = (
        f"Accuracy on {len(first.clean)} held-out {sample}s{size}, with 95 % "
        "Clopper-Pearson intervals, pooled where there are several nets. Noise: the worst of 10 "
        f"random points of the same size. Own gradient: what the defence gives an attacker, by share "
        f"of {sample}s. p: exact McNemar against no defence, the largest over the nets, after FGSM and "
        "PGD with the defence's own gradient (naive), and after the adaptive attack."
    )
    return Table(title="Accuracy under attack", columns=columns, rows=tuple(rows), note=note)


def _under(runs: Sequence[Defended]) -> tuple[list[str], list[str]]:
    return [run.pgd for run in runs], [run.adaptive for run in runs]


def percent(bits: Sequence[str]) -> str:
    return f"{100 * sum(b.count('1') for b in bits) / sum(map(len, bits)):.0f} %"


def _accuracy(bits: str) -> Estimate:
    return proportion(bits.count("1"), len(bits))


def _gradient(runs: Sequence[Defended]) -> str:
    shares = {kind: sum(r.gradient[kind] for r in runs) / len(runs) for kind in runs[0].gradient}
    return ", ".join(f"{kind} {100 * part:.0f} %" for kind, part in shares.items() if part > 0)


def _p(found: Sequence[tuple[str, str]]) -> str:
    """The largest over the nets; "-" where there is nothing to compare with."""
    if not found:
        return "-"
    each = [list(zip(control, run, strict=True)) for control, run in found]
    p = max(mcnemar(pairs.count(("1", "0")), pairs.count(("0", "1"))) for pairs in each)
    return "< 0.0001" if p < 1e-4 else f"{p:.2g}"
