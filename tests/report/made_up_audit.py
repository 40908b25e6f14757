"""Made-up audits for the report's tests: a rich one and a bare one; no figure was measured."""

from __future__ import annotations

from dataclasses import replace

from made_up import ORIGIN, png

from gradwarden.core.display import Figure, Gallery, Picture, Row, Series, Table
from gradwarden.core.estimate import Estimate
from gradwarden.core.examination import (
    Examination,
    Gate,
    Indicator,
    Item,
    Link,
    Removed,
    Witness,
)
from gradwarden.core.ledger_record import Broken, Ledger, Stage
from gradwarden.core.records import Finding

RADII = (0.0, 0.025, 0.05, 0.1, 0.2, 0.4)
BLOCK = (("conv1", "Conv2d"), ("norm1", "BatchNorm2d"), ("act", "ReLU"), ("conv2", "Conv2d"))


def share(value: float, low: float, high: float) -> Estimate:
    return Estimate(value=value, low=low, high=high, n=200)


def ledger(broken: int, *attacks: str) -> Ledger:
    fell = Broken(attack=attacks[0], restart=0, forwards=40, backwards=39)
    stages = tuple(
        Stage(
            attack=a,
            tried=200 - i * broken,
            broken=0 if i else broken,
            forwards=8000,
            backwards=7800,
            seconds=6.1,
        )
        for i, a in enumerate(attacks)
    )
    return Ledger(
        ids=tuple(range(200)),
        clean=(True,) * 194 + (False,) * 6,
        broken=(fell,) * broken + (None,) * (200 - broken),
        attacks=attacks,
        forwards=8000 * len(attacks),
        backwards=7800 * len(attacks),
        seconds=12.3,
        stages=stages,
    )


def drawn(first: Ledger, lucky: int) -> Ledger:
    """The same ledger of a model that draws, under constraints; `lucky` more fall to one draw."""
    fallen = sum(b is not None for b in first.broken)
    return replace(
        first,
        draws=16,
        claimed=(True,) * (fallen + lucky) + (False,) * (200 - fallen - lucky),
        lost=(0.9,) * fallen + (0.2,) * (200 - fallen),
        double=(True,) * fallen + (False,) * (200 - fallen),
        double_note="",
        infeasible=(False,) * 190 + (True,) * 10,
        notes=(f"{lucky} samples fell to a lucky draw alone.",),
    )


def chain() -> tuple[Link, ...]:
    """A network of 25 modules whose third one hides the gradient."""

    def link(module: str, kind: str, line: str, *checks: str, patched: bool = False) -> Link:
        hides = tuple(check for check in checks if check != "straight-through")
        return Link(
            module=module, kind=kind, line=line, checks=checks, hides=hides, patched=patched
        )

    links = [
        link("", "DefendedNet", "models.py:88"),
        link("front", "Sequential", ""),
        link("front.squeeze", "BitSqueeze", "models.py:31", "no-gradient", patched=True),
        link("front.smooth", "MedianSmooth", "models.py:52", "straight-through"),
    ]
    for block in range(4):
        links.append(link(f"features.block{block}", "Residual", "models.py:70"))
        links += [link(f"features.block{block}.{n}", kind, "") for n, kind in BLOCK]
    return (*links, link("head", "Linear", ""))


def removed() -> tuple[Removed, ...]:
    lines = (
        ("FGSM and PGD on cross-entropy, along the model's own gradient", None, 0.94, 0.03),
        ("PGD on the margin of the logits", None, 0.89, 0.05),
        ("through module 'front.squeeze' as if it were the identity", "front.squeeze", 0.34, 0.55),
        ("mean gradient over 16 draws of the model", None, 0.245, 0.095),
        ("Square, by queries alone", None, 0.185, 0.06),
    )
    return tuple(
        Removed(by=by, module=module, accuracy=share(left, left - 0.06, left + 0.06), points=points)
        for by, module, left, points in lines
    )


def gates() -> tuple[Gate, ...]:
    return (
        Gate(
            name="converged",
            state="green",
            says="Twice the steps and restarts remove 0.5 points more.",
        ),
        Gate(
            name="black box",
            state="red",
            says="Square breaks 3 samples (1.5 %) that no gradient attack breaks.",
            settle="More restarts of the adaptive attack: about 4 minutes here.",
        ),
        Gate(name="sweep", state="green", says="At radius 0.4 accuracy is 8 %, chance is 10 %."),
        Gate(
            name="binarisation",
            state="not run",
            says="No binarisation test: the model has no linear head.",
            settle="Name the head with --head; 200 samples take about 90 seconds.",
        ),
        Gate(
            name="findings",
            state="green",
            says="Each finding that hides the gradient was gone around.",
        ),
        Gate(
            name="constraints",
            state="green",
            says="Every stored point obeys ball, box and constraints.",
        ),
    )


def indicators() -> tuple[Indicator, ...]:
    """20: every third is quiet, every seventh was not run."""
    names = (
        "one step beats many",
        "black box beats white box",
        "unbounded attack fails",
        "random noise finds more",
        "larger radius does not help",
        "silent success",
        "incomplete optimisation",
        "transfer failure",
        "unconstrained failure",
        "vanishing gradient",
        "gradient norm ratio",
        "local linearity error",
        "gradient cosine between draws",
        "flat loss slice",
        "saturated softmax",
        "random outputs",
        "output is a probability",
        "zero gradient share",
        "optimisation in forward",
        "binarisation test",
    )
    return tuple(
        Indicator(
            name=name,
            source=f"Author {i} et al. 2018, arXiv:1802.{i:05d}, section {i + 1}",
            value=None if i % 7 == 6 else 0.013 * i,
            threshold=0.05,
            flags=i % 7 != 6 and i % 3 != 0,
            says=f"It was not run: there is no gradient to ask ({i})."
            if i % 7 == 6
            else f"It compares {name} on 200 samples ({i}).",
        )
        for i, name in enumerate(names)
    )


def checklist() -> tuple[Item, ...]:
    measured = (
        ("Is an iterative attack stronger than a single step?", True, "PGD 62 %, FGSM 31 %."),
        ("Does success rise with the radius?", True, "It never falls over 6 radii."),
        ("Does accuracy reach chance at a large radius?", True, "8 % at 0.4."),
        ("Does more optimisation not help?", True, "0.5 points more at twice the steps."),
        ("Does a gradient-free attack find nothing more?", False, "Square breaks 3 more."),
        ("Does a hard-label attack find nothing more?", None, "It was not run at this budget."),
        ("Does random noise find nothing more?", True, "0 of 200 with 20 draws."),
        ("Was the attack tried with the randomness fixed?", True, "38 % left so."),
        ("Do transferred examples break nothing more?", None, "No substitute was given."),
        ("Is success taken per sample over all attacks?", True, "The ledger is per sample."),
    )
    asked = (
        "Is the threat model stated, and does it suit the use?",
        "Are code and weights released?",
        "Did the attack know the whole pipeline as deployed?",
        "Were other threats weighed: rotation, corruption?",
        "Was the attack tried on a deliberately broken model?",
    )
    found = [Item(question=q, measured=True, fine=fine, says=says) for q, fine, says in measured]
    return (*found, *(Item(question=q, measured=False, fine=None, says="") for q in asked))


def curves() -> tuple[Figure, ...]:
    def line(name: str, *y: float, dashed: bool = False) -> Series:
        low, high = tuple(max(0.0, v - 0.05) for v in y), tuple(min(1.0, v + 0.05) for v in y)
        return Series(name=name, x=RADII, y=y, low=low, high=high, dashed=dashed)

    def loss(id: str, along: str, height: float) -> Figure:
        steps = tuple((i - 20) / 100 for i in range(41))
        return Figure(
            id=id,
            title=f"Loss {along}",
            x_title="step from the sample",
            y_title="margin loss",
            series=(
                Series(
                    name="loss",
                    x=steps,
                    y=tuple(height * s * s - (0.3 if s > 0.1 else 0.0) for s in steps),
                    markers=False,
                ),
            ),
            says=f"The loss moves in steps {along}: between two of them it is flat.",
        )

    return (
        Figure(
            id="radius",
            title="Accuracy against radius",
            x_title="radius of the Linf ball",
            y_title="accuracy",
            series=(
                line("naive", 0.97, 0.965, 0.955, 0.94, 0.9, 0.83, dashed=True),
                line("black box", 0.97, 0.9, 0.73, 0.41, 0.2, 0.12),
                line("adaptive", 0.97, 0.82, 0.54, 0.185, 0.09, 0.08),
                Series(name="certified", x=RADII[:4], y=(0.97, 0.5, 0.21, 0.05), dashed=True),
            ),
            percent_y=True,
            says="The naive attacker leaves 94 % at 0.1, the adaptive one 18.5 %.",
        ),
        loss("slice-gradient", "along the gradient", 30.0),
        loss("slice-witness", "towards a witness", 55.0),
    )


def pictures() -> Gallery:
    return Gallery(
        id="witnesses",
        title="Witnesses beside their originals",
        columns=("original", "witness", "difference, ten times"),
        rows=tuple(
            tuple(
                Picture(caption=f"sample {row}, read as {row + k}", png=png(20 * k), pixels=112)
                for k in range(3)
            )
            for row in (3, 5)
        ),
        says="A person reads the same digit in each row.",
    )


def features() -> Table:
    return Table(
        title="Sample 17, feature by feature",
        columns=("Feature", "Original", "Witness", "Step"),
        rows=(
            Row(cells=("amount", "310.00", "287.50", "\N{MINUS SIGN}0.08")),
            Row(cells=("account age", "2", "2", "frozen")),
            Row(cells=("country", "NL", "BE", "one category")),
        ),
        note="Frozen features stay, integer ones move by whole steps.",
    )


def findings() -> tuple[Finding, ...]:
    return (
        Finding(
            check="no-gradient",
            module="front.squeeze",
            value=0.0,
            threshold=1e-12,
            share=1.0,
            why="In module 'front.squeeze' the gradient ends: its output does not depend on it.",
            remedy="The attack replaced its backward by the identity (BPDA).",
            kind="BitSqueeze",
            line="models.py:34",
        ),
        Finding(
            check="straight-through",
            module="front.smooth",
            value=0.93,
            threshold=0.9,
            share=0.98,
            why="In module 'front.smooth' the gradient is a stand-in for the derivative.",
            remedy="Nothing: attackers may follow it.",
            kind="MedianSmooth",
            line="models.py:52",
        ),
        Finding(
            check="stochastic",
            module=None,
            value=0.06,
            threshold=0.05,
            share=0.06,
            why="The same input gets different answers from call to call.",
            remedy="The attack averages over 16 draws.",
        ),
    )


def examination() -> Examination:
    """Every field filled."""
    return Examination(
        model="models.py:defended",
        threat="Threat(ball=Linf(radius=0.1), box=(0.0, 1.0), goal=Untargeted())",
        verdict="masked",
        reasons=(
            (
                "The naive attack leaves 94 % of 200 samples right, the adaptive one leaves 18.5 %: 75.5 "
                "points of the apparent robustness are a hidden gradient (exact McNemar p = 1e-40; 151 "
                "witnesses re-checked one by one)."
            ),
            "The module 'front.squeeze' passes no gradient on all samples.",
        ),
        clean=share(0.97, 0.936, 0.989),
        noise=share(0.965, 0.929, 0.986),
        naive=share(0.94, 0.898, 0.969),
        black_box=share(0.41, 0.341, 0.482),
        adaptive=share(0.185, 0.134, 0.246),
        certified=share(0.05, 0.024, 0.09),
        claim=0.9,
        p_value=1e-40,
        budget="thorough",
        findings=findings(),
        patches=("front.squeeze: backward is the identity",),
        naive_ledger=drawn(ledger(12, "FGSM()", "PGD(steps=40)"), 9),
        adaptive_ledger=drawn(ledger(163, "PGD(steps=40, loss='margin')", "Square()"), 11),
        witnesses=tuple(
            Witness(sample=i, label=i % 10, predicted=(i + 3) % 10, attack="PGD", size=0.1)
            for i in range(20)
        ),
        removed=removed(),
        gates=gates(),
        chain=chain(),
        indicators=indicators(),
        checklist=checklist(),
        figures=curves(),
        galleries=(pictures(),),
        tables=(features(),),
        notes=("The decision attack ran on 50 survivors.", "No substitute model was given."),
        origin=replace(ORIGIN, command="gradwarden audit models.py:defended --data digits.npz"),
    )


def bare() -> Examination:
    """Nothing but what every audit has."""
    full = examination()
    return Examination(
        model=full.model,
        threat=full.threat,
        verdict="consistent",
        reasons=("Accuracy under attack is at most 94 %: an upper bound, no proof.",),
        clean=full.clean,
        noise=full.noise,
        naive=full.naive,
        adaptive=full.naive,
        certified=None,
        claim=None,
        p_value=1.0,
        findings=(),
        patches=(),
        naive_ledger=ledger(12, "PGD(steps=40)"),
        adaptive_ledger=ledger(12, "PGD(steps=40)"),
        witnesses=(),
        origin=full.origin,
    )
