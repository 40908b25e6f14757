"""What the claims on security share: of the images that fall without a defence, how many does one
save, and against which attacker?
"""

from __future__ import annotations

from gradwarden.compare.claims.words import from_parts, judged, not_run, share
from gradwarden.compare.results import Defended, Results
from gradwarden.core.comparison import Answer
from gradwarden.core.display import Row, Table
from gradwarden.core.estimate import Estimate, mcnemar, proportion

HALF = 0.5
SMALLEST = 0.1  # ten points from one half
FOLLOWER, ADAPTIVE = "naive", "adaptive"  # attackers: fields of `Defended`
ATTACKER = {FOLLOWER: "FGSM and PGD", ADAPTIVE: "the adaptive attack"}


def defended_by(results: Results, defence: str) -> Defended | None:
    """The run of the first seed under `defence` (its repr, "" for none)."""
    runs = sorted((r for r in results.defended if r.defence == defence), key=lambda r: r.seed)
    return runs[0] if runs else None


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
    control = defended_by(results, "")
    runs = [run for name in defences if (run := defended_by(results, name)) is not None]
    if control is None or not runs:
        return not_run(id, text, about, "no attacks on a defended and an undefended net")
    if not saved(control, runs[0], attacker).n:
        why = f"without a defence no {sample} falls to {ATTACKER[attacker]} that noise leaves right"
        return not_run(id, text, about, why)
    parts = tuple(
        _part(f"{id}.{n}", control, run, attacker, about, sample) for n, run in enumerate(runs, 1)
    )
    whole = parts[0] if len(parts) == 1 else None
    says = f"Of the {sample}s lost to {ATTACKER[attacker]} without a defence, " + "; ".join(
        f"{run.defence} saves {share(saved(control, run, attacker))}" for run in runs
    )
    how = (
        f"Of the {sample}s that the undefended net loses to {ATTACKER[attacker]}, but not to random "
        f"noise of the same size, the share that stays right under the defence; same {sample}s and "
        "attacks. Null one half, smallest effect 10 points from it; exact Clopper-Pearson "
        "interval. Accuracies in the table: exact McNemar p-value against the undefended net."
    )
    table = accuracies(results, control, sample)
    figures = ("radius",)
    if whole is not None:
        return judged(
            id=id,
            claim=text,
            about=about,
            says=f"{says}.",
            how=how,
            effect=saved(control, runs[0], attacker),
            null=HALF,
            smallest=SMALLEST,
            unit=f"share of {sample}s saved",
            table=table,
            figures=figures,
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


def _part(
    id: str, control: Defended, run: Defended, attacker: str, about: str, sample: str
) -> Answer:
    effect = saved(control, run, attacker)
    return judged(
        id=id,
        claim=f"{run.defence} saves most {sample}s from {ATTACKER[attacker]}.",
        about=about,
        says=f"{run.defence} saves {share(effect)} of {effect.n} {sample}s.",
        how=f"Share of {sample}s saved, null one half.",
        effect=effect,
        null=HALF,
        smallest=SMALLEST,
        unit=f"share of {sample}s saved",
    )


def accuracies(results: Results, control: Defended, sample: str) -> Table:
    """Every defence under every attacker, on the same samples."""
    rows = []
    for run in results.defended:
        if run.seed != control.seed:
            continue
        cells = (
            run.defence or "no defence",
            *(_percent(bits) for bits in (run.clean, run.noise, run.fgsm)),
            *(share(_accuracy(bits)) for bits in (run.pgd, run.adaptive)),
            _gradient(run),
            _p(control.naive, run.naive) if run is not control else "-",
            _p(control.adaptive, run.adaptive) if run is not control else "-",
        )
        rows.append(Row(cells=cells, pick=run.purpose == "mask"))
    columns = (
        "defence",
        "clean",
        "noise",
        "FGSM",
        "PGD",
        "adaptive",
        "own gradient",
        "p, naive",
        "p, adaptive",
    )
    size = f" at radius {control.radius:g}" if control.radius else ""
    note = (
        f"Accuracy on {len(control.clean)} held-out {sample}s{size}, with 95 % "
        "Clopper-Pearson intervals. Noise: the worst of 10 random points of the same size. Own "
        f"gradient: what the defence gives an attacker, by share of {sample}s. p: exact McNemar against "
        "no defence, after FGSM and PGD with "
        "the defence's own gradient (naive), and after the adaptive attack."
    )
    return Table(title="Accuracy under attack", columns=columns, rows=tuple(rows), note=note)


def _percent(bits: str) -> str:
    return f"{100 * bits.count('1') / len(bits):.0f} %"


def _accuracy(bits: str) -> Estimate:
    return proportion(bits.count("1"), len(bits))


def _gradient(run: Defended) -> str:
    shares = {kind: part for kind, part in run.gradient.items() if part > 0}
    return ", ".join(f"{kind} {100 * part:.0f} %" for kind, part in shares.items())


def _p(control: str, run: str) -> str:
    pairs = list(zip(control, run, strict=True))
    p = mcnemar(pairs.count(("1", "0")), pairs.count(("0", "1")))
    return "< 0.0001" if p < 1e-4 else f"{p:.2g}"
