"""What an audit found, as plain data."""

from __future__ import annotations

from dataclasses import dataclass

from gradwarden.core.display import Figure, Gallery, Table
from gradwarden.core.estimate import Estimate
from gradwarden.core.ledger_record import Ledger
from gradwarden.core.records import SCHEMA, Finding, Origin


@dataclass(frozen=True, kw_only=True)
class Witness:
    """A sample that a stored adversarial example breaks, re-checked by the referee."""

    sample: int
    label: int
    predicted: int
    attack: str
    size: float  # of the perturbation, in the ball's norm


@dataclass(frozen=True, kw_only=True)
class Removed:
    """One line of the decomposition: what an attacker did, and what it left and took."""

    by: str  # "FGSM and PGD on cross-entropy", "through module 'front' as if it were the identity"
    module: str | None  # dotted path, where one module was gone around; None: no single one
    accuracy: Estimate  # of all attackers up to and with this one
    points: float  # share of samples that fell to this one and to none before


@dataclass(frozen=True, kw_only=True)
class Gate:
    """One condition on which the verdict rests."""

    name: str  # "converged", "black box", "sweep", "binarisation", "findings" or "constraints"
    state: str  # "green", "red" or "not run"
    says: str  # one sentence, with the figures
    settle: str = ""  # where not green: what would settle it, and at what cost


@dataclass(frozen=True, kw_only=True)
class Indicator:
    """One published sign of masked gradients, with what it says of this model."""

    name: str  # "black box beats white box"
    source: str  # "Athalye et al. 2018, arXiv:1802.00420, behaviour 2"
    value: float | None  # None: not run
    threshold: float
    flags: bool  # it says that something is hidden, or that the attack failed
    says: str  # one sentence; where not run, why


@dataclass(frozen=True, kw_only=True)
class Link:
    """One module of the network, in the order in which the modules were called."""

    module: str  # dotted path; "" is the model itself
    kind: str  # class
    line: str  # "file.py:12" of its forward; "" where unknown
    checks: tuple[str, ...]  # of the findings that name it
    hides: tuple[str, ...]  # those of them that hide the gradient
    patched: bool  # the adaptive attack replaced it on the way back


@dataclass(frozen=True, kw_only=True)
class Item:
    """One line of the checklist of Carlini et al. 2019, arXiv:1902.06705."""

    question: str
    measured: bool  # False: only a person can answer
    fine: bool | None  # None: to be answered
    says: str


@dataclass(frozen=True, kw_only=True)
class Examination:
    """The audit's record."""

    model: str
    threat: str
    verdict: str  # "masked", "overstated", "inconclusive", "consistent" or "certified"
    reasons: tuple[str, ...]
    clean: Estimate
    noise: Estimate
    naive: Estimate
    adaptive: Estimate  # of everything that was tried
    certified: Estimate | None
    claim: float | None
    p_value: float  # exact McNemar, naive against adaptive on the same samples
    findings: tuple[Finding, ...]
    patches: tuple[str, ...]  # what the adaptive attack replaced, and by what
    naive_ledger: Ledger
    adaptive_ledger: Ledger
    witnesses: tuple[Witness, ...]
    origin: Origin
    budget: str = "standard"
    black_box: Estimate | None = None  # queries, transfer and decisions alone
    removed: tuple[Removed, ...] = ()  # the decomposition, in order
    gates: tuple[Gate, ...] = ()
    chain: tuple[Link, ...] = ()
    indicators: tuple[Indicator, ...] = ()
    checklist: tuple[Item, ...] = ()
    figures: tuple[Figure, ...] = ()  # accuracy against radius; loss slices
    galleries: tuple[Gallery, ...] = ()  # witnesses as pictures, beside their originals
    tables: tuple[Table, ...] = ()  # witnesses by feature
    notes: tuple[str, ...] = ()  # what was left out or went otherwise, one sentence each
    schema: int = SCHEMA
