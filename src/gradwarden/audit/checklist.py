"""The checklist of an evaluation: what this audit measured, and what only people can answer.

Source: Carlini et al. 2019, arXiv:1902.06705, sec. 3 to 5 (the checklist).
Differs: worded as questions; a line that was measured says with which figures.
"""

from __future__ import annotations

from typing import NamedTuple

from gradwarden.core.estimate import Estimate
from gradwarden.core.examination import Gate, Item

DRAWS = 10_000  # random points a sample that the source asks for
ASKED = (
    "Is the threat model stated precisely: goal, capabilities and knowledge of the attacker?",
    "Does that threat model suit the use, and is its radius one that matters there?",
    "Was the attack adapted to the whole pipeline as it is used, detectors and preparation included?",
    "Are code and weights released, so that others can repeat the evaluation?",
    "Are the attacks described with all of their hyper-parameters, and were these searched?",
    "Was each part of the defence taken out by itself, to see what it contributes?",
    "Was the attack validated on a model that is deliberately broken?",
    "Was the model compared with earlier defences, under the same threat?",
    "Were other threats weighed: rotation, corruption, other norms, other fields than this one?",
)


class Facts(NamedTuple):
    """What the audit knows. None or an empty text: not run."""

    clean: Estimate
    one_step: float | None  # accuracy under FGSM
    iterative: float | None  # accuracy under the plain attack of many steps, at the same radius
    radii: tuple[float, ...] = ()  # growing
    by_radius: tuple[float, ...] = ()  # accuracy at each
    steps: int = 0  # of the strongest attack that follows the gradient
    restarts: int = 0
    gradient_free: str = ""  # names of the attacks that were run
    hard_label: str = ""
    transfer: str = ""
    missed: float | None = None  # share of samples that only attacks without a gradient broke
    noise_draws: int = 0  # random points a sample
    noise_missed: float = 0.0  # share of samples that only they broke
    draws: int = 1  # forwards at each point of a model that draws
    stochastic: bool = False
    blocked: tuple[str, ...] = ()  # modules that pass no gradient, or a wrong one
    around: tuple[str, ...] = ()  # those of them that the attack went around
    attacks: int = 0  # whose worst case is taken for each sample
    gates: tuple[Gate, ...] = ()


def checklist(facts: Facts) -> tuple[Item, ...]:
    """The lines that were measured, then those to be answered."""
    measured = (
        _clean(facts),
        _iterative(facts),
        _radius(facts),
        _gate(facts, "sweep", "Does accuracy reach chance where the attacker may do anything?"),
        _enough(facts),
        _run(facts.gradient_free, "Was an attack run that needs no gradient?"),
        _run(facts.hard_label, "Was an attack run that sees decisions alone?"),
        _run(facts.transfer, "Were points from another model tried?"),
        _missed(facts),
        _noise(facts),
        _averaged(facts),
        _blocked(facts),
        _worst(facts),
        _gate(facts, "constraints", "Does every adversarial point obey the threat?"),
        _gate(facts, "binarisation", "Does the attack find points that are there for certain?"),
    )
    asked = (Item(question=question, measured=False, fine=None, says="") for question in ASKED)
    return (*measured, *asked)


def _item(question: str, fine: bool | None, says: str) -> Item:
    return Item(question=question, measured=True, fine=fine, says=says)


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _clean(facts: Facts) -> Item:
    clean = facts.clean
    says = f"{_percent(clean.value)} of {clean.n} samples are right without attack."
    return _item("Is accuracy without attack reported?", clean.value > 0.0, says)


def _iterative(facts: Facts) -> Item:
    question = "Is an attack of many steps at least as strong as one of a single step?"
    one, many = facts.one_step, facts.iterative
    if one is None or many is None:
        return _item(question, None, "One of the two was not run.")
    says = f"One step leaves {_percent(one)}, many steps {_percent(many)}."
    return _item(question, many <= one, says)


def _radius(facts: Facts) -> Item:
    question = "Does the attack succeed more often at a larger radius?"
    accuracies = facts.by_radius
    if len(accuracies) < 2:
        return _item(question, None, "Accuracy was not measured at more than one radius.")
    first, last = accuracies[0], accuracies[-1]
    says = (
        f"From radius {facts.radii[0]:g} to {facts.radii[-1]:g}, accuracy goes from "
        f"{_percent(first)} to {_percent(last)}."
    )
    return _item(question, last < first or first == 0.0, says)


def _gate(facts: Facts, name: str, question: str) -> Item:
    gate = next((gate for gate in facts.gates if gate.name == name), None)
    if gate is None:
        return _item(question, None, "Not run.")
    return _item(question, {"green": True, "red": False}.get(gate.state), gate.says)


def _enough(facts: Facts) -> Item:
    item = _gate(facts, "converged", "Are there enough steps and restarts?")
    used = f"{facts.steps} steps, {facts.restarts} restart{'' if facts.restarts == 1 else 's'}."
    return _item(item.question, item.fine, f"{used} {item.says}")


def _run(names: str, question: str) -> Item:
    return _item(question, True, f"{names} ran.") if names else _item(question, None, "Not run.")


def _missed(facts: Facts) -> Item:
    question = "Does the attack that follows the gradient break all that others break?"
    if facts.missed is None:
        return _item(question, None, "No attack without a gradient was run.")
    says = f"{_percent(facts.missed)} of the samples fell to attacks without a gradient alone."
    return _item(question, facts.missed == 0.0, says)


def _noise(facts: Facts) -> Item:
    question = "Do random points find nothing that the attack misses?"
    if not facts.noise_draws:
        return _item(question, None, "Not run.")
    says = (
        f"{facts.noise_draws} points a sample break {_percent(facts.noise_missed)} of the samples "
        "that the attack does not."
    )
    if facts.noise_draws < DRAWS:
        says += f" The checklist asks for {DRAWS} points."
    return _item(question, facts.noise_missed == 0.0, says)


def _averaged(facts: Facts) -> Item:
    question = "Where the model draws at random, did the attack average over draws?"
    if not facts.stochastic:
        return _item(question, True, "The model answers alike every time.")
    says = f"At each point the attack took the mean of {facts.draws} draws."
    return _item(
        question, facts.draws > 1, says if facts.draws > 1 else "The attack took one draw."
    )


def _blocked(facts: Facts) -> Item:
    question = "Were parts without a gradient, or with a wrong one, gone around?"
    if not facts.blocked:
        return _item(question, True, "No module cuts the gradient off or falsifies it.")
    left = [module for module in facts.blocked if module not in facts.around]
    if not left:
        says = f"All: {', '.join(module or 'the model itself' for module in facts.blocked)}."
        return _item(question, True, says)
    says = f"Not gone around: {', '.join(module or 'the model itself' for module in left)}."
    return _item(question, False, says)


def _worst(facts: Facts) -> Item:
    question = "Is the worst case taken for each sample, over all attacks?"
    says = f"A sample counts as broken if any of {facts.attacks} attacks breaks it."
    return _item(question, facts.attacks > 1, says)
