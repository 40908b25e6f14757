"""`evaluate` beside AutoAttack's standard version (`pyautoattack`): accuracy, passes, time, memory.

Same weights, same images, same run; each measurement in a process of its own, one thread. Models
are trained here, once, and kept with finished measurements in benchmarks/.cache; `--fresh` forgets
the measurements. `python benchmarks/attack_autoattack.py` prints the table and keeps it in
benchmarks/results/attack_autoattack.md. GTSRB is read from the folder in GRADWARDEN_DATA.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from gradwarden.attack.evaluate import evaluate
from gradwarden.core.balls.l2 import L2
from gradwarden.core.balls.linf import Linf
from gradwarden.core.draws import seed_of
from gradwarden.core.provenance import environment, sources
from gradwarden.core.threat import Threat
from gradwarden.harden.adversarial_training import AdversarialTraining
from gradwarden.harden.noise_training import NoiseTraining
from gradwarden.harden.trades import TRADES
from gradwarden.tasks.digits import digits
from gradwarden.tasks.digits_cnn import DigitsCNN
from gradwarden.tasks.loader import Loader, Split
from gradwarden.tasks.motion import motion

HERE = Path(__file__).parent
CACHE = HERE / ".cache"
RESULTS = HERE / "results" / "attack_autoattack.md"
ONE_MORE = 1  # samples that we may leave standing beyond AutoAttack
FASTER = 5.0  # times fewer backward passes, and times less time, in the median
BATCH = 250
TASK = DigitsCNN()


class Case(NamedTuple):
    """One model, what is held against it, and how its data are shown to an image-only tool."""

    threat: Threat
    make: Callable[[], nn.Module]  # untrained
    train: Callable[[nn.Module], object]
    held_out: Callable[[], Split]
    as_image: Callable[[Tensor], Tensor] = lambda x: x
    from_image: Callable[[Tensor], Tensor] = lambda x: x


def plain(model: nn.Module, loader: Loader, epochs: int, rate: float = 2e-3) -> None:
    optimizer = torch.optim.Adam(model.parameters(), rate)
    for _ in range(epochs):
        for x, y in loader:
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()


def adversarial(
    threat: Threat, loader: Loader, epochs: int, warm_up: int = 0
) -> Callable[[nn.Module], object]:
    """After `warm_up` plain epochs, without which some of these nets never start to learn."""

    def train(model: nn.Module) -> object:
        plain(model, loader, warm_up)
        optimizer = torch.optim.Adam(model.parameters(), 2e-3)
        return AdversarialTraining(threat=threat, epochs=epochs).fit(model, loader, optimizer)

    return train


def convolutional(
    channels: int, classes: int, side: int, act: type[nn.Module] = nn.ReLU, width: int = 8
) -> nn.Sequential:
    torch.manual_seed(seed_of(0, "benchmark", channels, classes))
    inside = (side // 4) ** 2 * 2 * width
    return nn.Sequential(
        nn.Conv2d(channels, width, 4, stride=2, padding=1),
        act(),
        nn.Conv2d(width, 2 * width, 4, stride=2, padding=1),
        act(),
        nn.Flatten(),
        nn.Linear(inside, 64),
        act(),
        nn.Linear(64, classes),
    )


class Sharpened(nn.Module):
    """Logits times 1000: cross-entropy and its gradient vanish in float32."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.model(x)
        return logits * 1000 if not self.training else logits


def series(channels: int, classes: int) -> nn.Sequential:
    torch.manual_seed(seed_of(0, "benchmark", "series"))
    return nn.Sequential(
        nn.Conv1d(channels, 24, 7, stride=2, padding=3),
        nn.ReLU(),
        nn.Conv1d(24, 32, 5, stride=2, padding=2),
        nn.ReLU(),
        nn.AdaptiveAvgPool1d(8),
        nn.Flatten(),
        nn.Linear(256, classes),
    )


def three_classes() -> tuple[Split, Split]:
    """3, 5 and 8, the digits most alike."""
    parts = []
    for split in (digits().train, digits().test):
        rows = torch.isin(split.y, torch.tensor([3, 5, 8]))
        names = torch.full((10,), -1).index_put((torch.tensor([3, 5, 8]),), torch.arange(3))
        parts.append(Split(split.x[rows], names[split.y[rows]]))
    return parts[0], parts[1]


def traffic_signs() -> tuple[Split, Split]:
    """Split by track: a track is 30 photos of one sign."""
    with np.load(Path(os.environ["GRADWARDEN_DATA"]) / "gtsrb32_8879.npz") as file:
        x, y, track = file["X"], file["y"], file["track"]
    # Tracks are numbered within their class.
    names, where = np.unique(np.stack([y, track]), axis=1, return_inverse=True)
    held = np.random.default_rng(0).permutation(names.shape[1])[: names.shape[1] // 5]
    test = np.isin(where.reshape(-1), held)
    images = torch.from_numpy(x).permute(0, 3, 1, 2).contiguous().float() / 255
    labels = torch.from_numpy(y.astype(np.int64))
    parts = [torch.from_numpy(np.flatnonzero(rows)) for rows in (~test, test)]
    train, left = (Split(images[rows], labels[rows]) for rows in parts)
    order = torch.randperm(len(left.y), generator=torch.Generator().manual_seed(0))
    return train, Split(left.x[order], left.y[order])


def of(data: Split) -> Loader:
    return Loader(data, 64, seed_of(0, "benchmark"))


def on_digits() -> dict[str, Case]:
    def digits_case(threat: Threat, train: Callable[[nn.Module], object]) -> Case:
        return Case(threat, lambda: convolutional(1, 10, 28), train, lambda: TASK.held_out())

    def trades(model: nn.Module) -> object:
        trainer = TRADES(threat=Threat(ball=Linf(0.1)), epochs=10)
        return trainer.fit(model, TASK.loader(0), TASK.optimizer(model))

    def noise(model: nn.Module) -> object:
        trainer = NoiseTraining(sigma=0.25, epochs=10)
        return trainer.fit(model, TASK.loader(0), TASK.optimizer(model))

    small, large = Threat(ball=Linf(0.1)), Threat(ball=Linf(0.2))
    return {
        "PGD-AT 0.1": digits_case(small, adversarial(small, TASK.loader(0), 10)),
        "PGD-AT 0.2": digits_case(large, adversarial(large, TASK.loader(0), 15)),
        "TRADES 0.1": digits_case(small, trades),
        "noise-trained, L2 1": digits_case(Threat(ball=L2(1.0)), noise),
        "GELU, logits x1000": Case(
            Threat(ball=Linf(0.03)),
            lambda: Sharpened(convolutional(1, 10, 28, nn.GELU)),
            lambda model: plain(model, TASK.loader(0), 8),
            lambda: TASK.held_out(),
        ),
        "3 classes, PGD-AT 0.1": Case(
            small,
            lambda: convolutional(1, 3, 28),
            adversarial(small, of(three_classes()[0]), 15, warm_up=5),
            lambda: three_classes()[1],
        ),
    }


def cases() -> dict[str, Case]:
    """Those on digits, and on other data: of packages, and of GRADWARDEN_DATA."""
    found = on_digits()
    train, _, test = motion()
    slight = Threat(ball=Linf(0.01))
    found["1-D series, PGD-AT 0.01"] = Case(
        slight,
        lambda: series(train.x.shape[1], int(train.y.max()) + 1),
        adversarial(slight, of(Split(train.x, train.y)), 10, warm_up=5),
        lambda: Split(test.x[:1000], test.y[:1000]),
        lambda x: x[..., None],
        lambda x: x[..., 0],
    )
    if os.environ.get("GRADWARDEN_DATA"):
        signs, four = traffic_signs(), Threat(ball=Linf(4 / 255))
        found["GTSRB, PGD-AT 4/255"] = Case(
            four,
            lambda: convolutional(3, 43, 32, width=16),
            adversarial(four, of(signs[0]), 10, warm_up=3),
            lambda: Split(signs[1].x[:1000], signs[1].y[:1000]),
        )
    return found


def trained(name: str, case: Case) -> nn.Module:
    file = CACHE / f"{seed_of(name)}.pt"
    model = case.make()
    if file.exists():
        model.load_state_dict(torch.load(file, weights_only=True))
    else:
        case.train(model)
        CACHE.mkdir(exist_ok=True)
        torch.save(model.state_dict(), file)
    return model.eval()


class Counted(nn.Module):
    """Counts the samples that go forward, and those whose logits get a gradient."""

    def __init__(self, model: nn.Module, change: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.model, self.change = model, change
        self.forwards = self.backwards = 0

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.model(self.change(x))
        self.forwards += len(x)
        if logits.requires_grad:
            logits.register_hook(self._back)
        return logits

    def _back(self, grad: Tensor) -> None:
        self.backwards += len(grad)


def autoattack(
    model: Counted, x: Tensor, y: Tensor, threat: Threat, classes: int, short: bool
) -> Tensor:
    """[N] bool: what it leaves standing. Fewer than 4 classes: with its untargeted attacks."""
    tool: Any = import_module("pyautoattack")
    norm = {Linf: "Linf", L2: "L2"}[type(threat.ball)]
    kind: dict[str, Any] = {"version": "standard"}
    if classes < 4:  # targeted DLR needs 4
        kind = {"version": "custom", "attacks": ["apgd-ce", "apgd-dlr", "fab", "square"]}
    judge = tool.AutoAttack(
        model, norm=norm, eps=threat.ball.radius, seed=0, device=x.device, **kind
    )
    judge.apgd_targeted.n_target_classes = judge.fab.n_target_classes = min(9, classes - 1)
    if short:
        for part in (judge.apgd, judge.apgd_targeted, judge.fab):
            part.n_iter = 5
        judge.square.n_queries = 20
    x_adv = judge.run_standard_evaluation(x, y, batch_size=BATCH)[0].to(x.device)
    with torch.no_grad():
        right: Tensor = model.model(model.change(x_adv)).argmax(1) == y
    return right


def ours(model: Counted, x: Tensor, y: Tensor, threat: Threat, budget: str) -> Tensor:
    ledger = evaluate(model, x, y, threat, budget=budget, batch_size=BATCH)
    return torch.tensor([broken is None for broken in ledger.broken])


def measure(name: str, tool: str, short: bool = False) -> dict[str, Any]:
    """In a process of its own, one thread: CPU seconds, passes, MiB at the peak, who stands.

    `short`: one batch and few steps, which is enough to see the peak.
    """
    torch.set_num_threads(1)
    case = cases()[name]
    held = case.held_out()
    x, y = (part[:BATCH] if short else part for part in held)
    classes = int(held.y.max()) + 1
    foreign = tool == "AutoAttack"
    model = Counted(trained(name, case), case.from_image if foreign else lambda x: x).eval()
    Path("/proc/self/clear_refs").write_text("5")  # forgets the peak so far
    before, began = memory("VmRSS"), time.process_time()
    if foreign:
        stand = autoattack(model, case.as_image(x), y, case.threat, classes, short)
    else:
        stand = ours(model, x, y, case.threat, "quick" if short else tool)
    return {
        "seconds": time.process_time() - began,
        "MiB": memory("VmHWM") - before,
        "stand": stand.nonzero()[:, 0].tolist(),
        "samples": len(x),
        "forwards": model.forwards,
        "backwards": model.backwards,
    }


def memory(what: str) -> float:
    """Resident MiB of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return float(next(line for line in lines if line.startswith(what)).split()[1]) / 1024


def cached(name: str, tool: str, short: bool = False) -> dict[str, Any]:
    """Kept by name, tool and, for ours, the source files."""
    own = None if tool == "AutoAttack" else sources(["gradwarden.attack.evaluate"])
    file = CACHE / f"{seed_of(name, tool, own, *(['short'] if short else []))}.json"
    if not file.exists():
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            file.write_text(json.dumps(pool.apply(measure, (name, tool, short))))
    return dict(json.loads(file.read_text()))


def line(name: str, tool: str, own: dict[str, Any], their: dict[str, Any]) -> str:
    more = sorted(set(own["stand"]) - set(their["stand"]))
    fewer = sorted(set(their["stand"]) - set(own["stand"]))
    n = own["samples"]
    cells = [
        name,
        tool,
        f"{100 * len(their['stand']) / n:.1f} %",
        f"{100 * len(own['stand']) / n:.1f} %",
        _some(more),
        _some(fewer),
        *(f"{their[k] / max(own[k], 1):.1f}" for k in ("forwards", "backwards", "seconds")),
        f"{their['seconds']:.0f} s",
        f"{cached(name, tool, short=True)['MiB']:.0f}",
        f"{cached(name, 'AutoAttack', short=True)['MiB']:.0f}",
    ]
    return "| " + " | ".join(cells) + " |"


def _some(samples: list[int]) -> str:
    return f"{len(samples)}: {', '.join(map(str, samples[:8]))}" if samples else "0"


def render(rows: list[tuple[str, str, dict[str, Any], dict[str, Any]]]) -> str:
    columns = (
        "model",
        "budget",
        "AutoAttack",
        "ours",
        "only ours left standing",
        "only AutoAttack left standing",
        "forwards: times fewer",
        "backwards: times fewer",
        "time: times less",
        "AutoAttack's time",
        "MiB, ours",
        "MiB, AutoAttack",
    )
    about = (
        "Accuracy under attack on the same images, one thread, batches of 250; time is that of the CPU, MiB are the peak's above what was there before, on one batch and few steps; samples are named "
        "by number. AutoAttack on fewer than 4 classes is its untargeted attacks (targeted DLR "
        "needs 4), on series it sees images of width 1. "
        "`python benchmarks/attack_autoattack.py`"
    )
    text = ["# `evaluate` beside AutoAttack", "", about, "", "| " + " | ".join(columns) + " |"]
    text += ["|---" * len(columns) + "|", *(line(*row) for row in rows), "", *targets(rows)]
    where = ", ".join(f"{k} {v}" for k, v in environment(("torch", "pyautoattack")).items())
    return "\n".join([*text, "", where]) + "\n"


def targets(rows: list[tuple[str, str, dict[str, Any], dict[str, Any]]]) -> list[str]:
    standard = [(own, their) for _, budget, own, their in rows if budget == "standard"]
    worst = max(len(own["stand"]) - len(their["stand"]) for own, their in standard)
    some = [(own, their) for own, their in standard if their["stand"]]
    said = [(f"standard leaves at most {ONE_MORE} sample more standing", worst, worst <= ONE_MORE)]
    for unit in ("backwards", "seconds"):
        ratio = statistics.median(their[unit] / max(own[unit], 1e-9) for own, their in some)
        said.append((f"at least {FASTER:g} times fewer {unit}, median", ratio, ratio >= FASTER))
    return [f"- {what}: {value:.2f}, {'met' if met else '**missed**'}" for what, value, met in said]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fresh", action="store_true")
    parser.add_argument("--only", default="", help="models whose name holds this text")
    parser.add_argument("--budgets", default="quick,standard")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.fresh:
        for file in CACHE.glob("*.json"):
            file.unlink()
    chosen = {name: case for name, case in cases().items() if options.only in name}
    table = []
    for number, (name, case) in enumerate(chosen.items()):
        print(f"{number + 1} of {len(chosen)}: {name}", flush=True)
        trained(name, case)
        cached(name, "AutoAttack")
        for budget in options.budgets.split(",") if options.budgets else []:
            own, their = cached(name, budget), cached(name, "AutoAttack")
            table.append((name, budget, own, their))
            print(line(name, budget, own, their), flush=True)
    text = render(table) if table else ""
    print(text)
    if text and not options.only:
        RESULTS.write_text(text)
