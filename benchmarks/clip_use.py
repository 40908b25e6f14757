"""What each clipping rule does for training: stable rates, steps to a target, held-out figure.

`python benchmarks/clip_use.py` trains every contender at every rate of a ladder with five seeds, on
two processes of one thread, and keeps the tables in benchmarks/results/clip_use.md. Finished runs
stay in a folder, so an interrupted benchmark goes on where it was. Rules have their default
options. MaxNorm has none, so its bound is fixed by the task's literature, and MaxValue's is a tenth
of it; nothing is tuned.
"""

from __future__ import annotations

import argparse
import hashlib
import inspect
import math
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, is_dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from gradwarden import clip
from gradwarden.clip.attach import attach
from gradwarden.clip.rules.max_norm import MaxNorm
from gradwarden.compare.claims.c2_rates import ratio
from gradwarden.compare.claims.c3_speed import speedup
from gradwarden.compare.claims.words import times
from gradwarden.compare.clock import Progress
from gradwarden.compare.executor import execute
from gradwarden.compare.job import Job
from gradwarden.compare.ladder import Ladder, ladders
from gradwarden.compare.picks import Picks
from gradwarden.compare.results import Results, Trained, as_result
from gradwarden.compare.store import Store
from gradwarden.core.draws import seed_of
from gradwarden.core.estimate import Estimate, paired_mean
from gradwarden.core.provenance import environment
from gradwarden.tasks.lstm_text import LSTMText
from gradwarden.tasks.text import plays

RESULTS = Path(__file__).parent / "results" / "clip_use.md"
SEEDS = 5
ENDED = 20  # losses in a row that are not finite: the run is lost
DIGITS = 5  # significant ones that are stored of each value in a series
SPIKE, SPIKES, NAN = 1000.0, (60, 150, 200, 201), 120  # factor, steps, step of the "gpt" task
PLAIN, TORCH = "no clipping", "torch clip_grad_norm_"
OPTIMIZERS = {"SGD": torch.optim.SGD, "AdamW": torch.optim.AdamW}
Batch = tuple[Tensor, Tensor]


class Task(Protocol):
    name: str

    @property
    def steps(self) -> int: ...
    @property
    def target(self) -> float: ...
    def model(self, seed: int) -> nn.Module: ...
    def batches(self, seed: int) -> Iterator[Batch]: ...
    def loss(self, model: nn.Module, batch: Batch) -> Tensor: ...
    def score(self, model: nn.Module, split: str) -> float: ...


class LastState(nn.Module):
    """One-hot symbols [N, T, 6] -> logits [N, 4], from the last state of a tanh RNN."""

    def __init__(self, hidden: int, radius: float) -> None:
        super().__init__()
        self.recurrent, self.head = nn.RNN(6, hidden, batch_first=True), nn.Linear(hidden, 4)
        with torch.no_grad():
            w = torch.randn(hidden, hidden)
            w *= radius / torch.linalg.eigvals(w).abs().max()
            self.recurrent.all_weights[0][1].copy_(w)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.recurrent(x)[0][:, -1])
        return logits


@dataclass(frozen=True, kw_only=True)
class TemporalOrder:
    """Say in which order two symbols came, each A or B, among four that say nothing.

    The first stands in [T/10, 2T/10] of the T steps, the second in [4T/10, 5T/10].

    Source: Pascanu et al. 2013, arXiv:1211.5063, sec. 4.1; 50 tanh units of spectral radius 0.95,
    batches of 20. Differs: dense initial weights, short sequences, larger rates, fewer steps.
    """

    length: int = 20
    hidden: int = 50
    batch: int = 20
    steps: int = 500
    held_out: int = 2000

    name = "temporal-order"
    target = 0.2  # nats; guessing one symbol of the two leaves ln 2

    def model(self, seed: int) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_of(seed, self.name, "weights"))
            return LastState(self.hidden, 0.95)

    def batches(self, seed: int) -> Iterator[Batch]:
        rng = torch.Generator().manual_seed(seed_of(seed, self.name, "batches"))
        while True:
            yield self.draw(self.batch, rng)

    def draw(self, n: int, rng: torch.Generator) -> Batch:
        """One-hot symbols [n, T, 6] and classes [n]."""
        symbols = torch.randint(2, 6, (n, self.length), generator=rng)
        order = torch.randint(2, (n, 2), generator=rng)
        for k, tenth in enumerate((1, 4)):
            first, last = (self.length * t // 10 for t in (tenth, tenth + 1))
            at = torch.randint(first, last + 1, (n,), generator=rng)
            symbols[torch.arange(n), at] = order[:, k]
        return nn.functional.one_hot(symbols, 6).float(), 2 * order[:, 0] + order[:, 1]

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        return nn.functional.cross_entropy(model(batch[0]), batch[1])

    @torch.no_grad()
    def score(self, model: nn.Module, split: str) -> float:
        """Perplexity on "validation", where 1 is best; the share that is right on "test"."""
        x, y = self.draw(self.held_out, torch.Generator().manual_seed(seed_of(self.name, split)))
        if split == "test":
            return float((model(x).argmax(1) == y).double().mean())
        return math.exp(min(float(self.loss(model, (x, y))), 700.0))


class Block(nn.Module):
    """Causal attention and a two-layer net, each on normalised input and added to it."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.before, self.between = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.net = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        n, t, width = x.shape
        qkv = self.qkv(self.before(x)).view(n, t, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        seen = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(seen.transpose(1, 2).reshape(n, t, width))
        added: Tensor = self.net(self.between(x))
        return x + added


class GPT(nn.Module):
    """Characters [N, T] -> logits [N, T, alphabet]."""

    def __init__(self, alphabet: int, length: int, width: int, layers: int, heads: int) -> None:
        super().__init__()
        self.embed, self.place = nn.Embedding(alphabet, width), nn.Embedding(length, width)
        self.blocks = nn.Sequential(*(Block(width, heads) for _ in range(layers)))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, alphabet)

    def forward(self, x: Tensor) -> Tensor:
        h = self.embed(x) + self.place(torch.arange(x.shape[1]))
        logits: Tensor = self.head(self.norm(self.blocks(h)))
        return logits


@dataclass(frozen=True, kw_only=True)
class GPTText:
    """The text, batches and scores of `LSTMText`, for a small transformer."""

    text: LSTMText
    width: int = 64
    layers: int = 2
    heads: int = 4
    steps: int = 300

    name = "gpt-text"

    @property
    def target(self) -> float:
        return self.text.target

    def model(self, seed: int) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_of(seed, self.name, "weights"))
            size = len(plays().alphabet)
            return GPT(size, self.text.length, self.width, self.layers, self.heads)

    def batches(self, seed: int) -> Iterator[Batch]:
        return self.text.batches(seed)

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        return self.text.loss(model, batch)

    def score(self, model: nn.Module, split: str) -> float:
        return self.text.score(model, split)


@dataclass(frozen=True, kw_only=True)
class Setting:
    """A task, its ladder of rates, and the bound of the rules that need one."""

    title: str
    about: str
    task: LSTMText | TemporalOrder | GPTText
    optimizer: str
    rates: tuple[float, ...]
    bound: float
    expected: float  # seconds on one core, of all rates
    faults: bool = False


SETTINGS = (
    Setting(
        title="Character LSTM, SGD",
        about="Bound 0.25 (Merity et al. 2018). Reference: no clipping. Figure: test bits.",
        task=LSTMText(),
        optimizer="SGD",
        rates=(1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0),
        bound=0.25,
        expected=5.0,
    ),
    Setting(
        title="Temporal order, tanh RNN, SGD",
        about="Bound 1 (Pascanu et al. 2013). Reference: no clipping. Figure: share right, %.",
        task=TemporalOrder(),
        optimizer="SGD",
        rates=(0.01, 0.03, 0.1, 0.3, 1.0),
        bound=1.0,
        expected=5.0,
    ),
    Setting(
        title="Small GPT with faults, AdamW",
        about=(
            f"Gradients times {SPIKE:g} on the steps {', '.join(map(str, SPIKES))}, and one NaN on "
            f"step {NAN}. Bound 1. Reference: no clipping and no faults. Figure: test bits. "
            "`MaxNorm(max_norm=inf)` skips the NaN and clips nothing."
        ),
        task=GPTText(text=LSTMText(batch=8, length=32)),
        optimizer="AdamW",
        rates=(0.001, 0.003, 0.01, 0.03),
        bound=1.0,
        expected=6.0,
        faults=True,
    ),
)


@dataclass(frozen=True, kw_only=True)
class UseJob:
    """One run at each rate. Weights and batches depend on task and seed alone: arms are paired."""

    of: Setting
    contender: str  # "" for the reference, PLAIN, TORCH, or the rule's repr
    rule: Any  # None but for a rule
    seed: int

    @property
    def task(self) -> str:
        return self.of.task.name

    @property
    def arm(self) -> str:
        return f"{self.of.optimizer}, {self.contender or 'reference'}"

    @property
    def expected(self) -> float:
        return self.of.expected

    def config(self) -> dict[str, Any]:
        code = "".join(map(inspect.getsource, (TemporalOrder, LastState, Block, GPT, UseJob)))
        return {
            "task": repr(self.of.task),
            "optimizer": self.of.optimizer,
            "faults": [SPIKE, *SPIKES, NAN] if self.faults else [],
            "bound": self.of.bound,
            "contender": self.contender,
            "rates": self.of.rates,
            "code": hashlib.blake2b(code.encode(), digest_size=8).hexdigest(),
        }

    def roots(self) -> tuple[str, ...]:
        return (
            "gradwarden.clip.attach",
            "gradwarden.tasks.lstm_text",
            type(self.rule or MaxNorm(1.0)).__module__,
        )

    @property
    def faults(self) -> bool:
        return self.of.faults and self.contender != ""

    def run(self) -> dict[str, Any]:
        return {"runs": [as_result(self.trained(rate)) for rate in self.of.rates]}

    def trained(self, rate: float) -> Trained:
        task: Task = self.of.task
        model = task.model(self.seed)
        optimizer = OPTIMIZERS[self.of.optimizer](model.parameters(), rate)
        step = self.stepper(model, optimizer)
        losses, coefficients, lost = list[float](), list[float](), 0
        for i, batch in enumerate(islice(task.batches(self.seed), task.steps)):
            optimizer.zero_grad()
            loss = task.loss(model, batch)
            loss.backward()
            if self.faults:
                inject(model, i)
            value, coefficient = float(loss.detach()), step(loss.detach())
            lost = 0 if math.isfinite(value) else lost + 1
            losses.append(losses[-1] if lost else float(f"{value:.{DIGITS}g}"))
            coefficients.append(float(f"{coefficient:.{DIGITS}g}"))
            if lost == ENDED:
                break
        scores = [task.score(model, split) for split in ("validation", "test")]
        validation, test = (s if math.isfinite(s) else None for s in scores)
        return Trained(
            net=task.name,
            optimizer=self.of.optimizer,
            rule=self.contender,
            rate=rate,
            seed=self.seed,
            steps=task.steps,
            target=task.target,
            losses=tuple(losses),
            norms=(),
            thresholds=(),
            coefficients=tuple(coefficients),
            nonfinite_step=len(losses) - ENDED if lost == ENDED else None,
            validation=validation,
            test=test,
        )

    def stepper(
        self, model: nn.Module, optimizer: torch.optim.Optimizer
    ) -> Callable[[Tensor], float]:
        """Clips and steps, given the loss; returns the coefficient, 0 where the norm is not finite."""
        if self.rule is not None:
            guard = attach(optimizer, self.rule, model=model, max_skips=None)

            def ours(loss: Tensor) -> float:
                guard.observe(loss)
                optimizer.step()
                assert guard.last is not None  # the model has gradients
                return float(guard.last.coefficient)

            return ours

        def theirs(loss: Tensor) -> float:
            norm = 0.0
            if self.contender == TORCH:
                norm = float(nn.utils.clip_grad_norm_(model.parameters(), self.of.bound))
            optimizer.step()
            return min(1.0, self.of.bound / (norm + 1e-6)) if math.isfinite(norm) else 0.0

        return theirs


def inject(model: nn.Module, step: int) -> None:
    grads = [p.grad for p in model.parameters() if p.grad is not None]
    if step in SPIKES:
        torch._foreach_mul_(grads, SPIKE)
    if step == NAN:
        grads[0].view(-1)[0] = math.nan


def rules(setting: Setting) -> list[Any]:
    """Every exported rule and transform, the default first."""
    given: dict[str, tuple[Any, ...]] = {
        "MaxNorm": (setting.bound,),
        "MaxValue": (setting.bound / 10,),
        "UClip": (MaxNorm(setting.bound),),
    }
    exports = [getattr(clip, name) for name in clip.__all__]
    classes = [e for e in exports if inspect.isclass(e) and is_dataclass(e) and hasattr(e, "init")]
    made = [cls(*given.get(cls.__name__, ())) for cls in classes]
    if setting.faults:
        made.append(MaxNorm(math.inf))
    return sorted(made, key=lambda rule: not isinstance(rule, clip.Adaptive))


def jobs(settings: Sequence[Setting], seeds: int) -> list[UseJob]:
    return [
        UseJob(of=setting, contender=name, rule=rule, seed=seed)
        for setting in settings
        for name, rule in contenders(setting)
        for seed in range(seeds)
    ]


def contenders(setting: Setting) -> list[tuple[str, Any]]:
    plain: list[tuple[str, Any]] = [("", None), (PLAIN, None), (TORCH, None)]
    if not setting.faults:
        plain.remove((PLAIN, None))  # is the reference
    return plain + [(repr(rule), rule) for rule in rules(setting)]


def results(wanted: Sequence[UseJob], store: Store) -> Results:
    plan = store.plan(wanted)
    runs = list(plan.done.values())

    def keep(job: Job, seconds: float, result: dict[str, Any]) -> None:
        runs.append(store.write(job, seconds, result))

    def tell(now: Progress) -> None:
        if now.seconds_left is not None and now.latest and now.done % 10 == 0:
            print(f"{now.done} of {now.total}, {now.seconds_left / 60:.0f} min left", flush=True)

    execute(plan.missing, keep, tell)
    runs.sort(key=lambda run: run.seed)
    return Results.of(replace(run, result=one) for run in runs for one in run.result["runs"])


def line(ladder: Ladder, name: str) -> list[str]:
    """Cells: every figure with its paired estimate beside the reference."""
    rate = ladder.chosen(name)
    runs = [] if rate is None else ladder.of(name, [rate])
    reached = [r.steps_to_target for r in runs]
    steps = ", ".join("-" if s is None else str(s) for s in reached) or "-"
    figures = [r.test for r in runs if r.test is not None]
    if ladder.runs[0].net == TemporalOrder.name:
        shown = f"{100 * sum(figures) / len(figures):.1f} %" if figures else "-"
    else:
        shown = f"{sum(figures) / len(figures):.3f}" if figures else "-"
    clipped = f"{100 * sum(r.clipped for r in runs) / len(runs):.0f} %" if runs else "-"
    counts = [stable(ladder, name, seed) for seed in ladder.seeds]
    cells = [
        f"`{name}`" if "(" in name else name or "**reference**",
        f"{sum(counts) / len(counts):.1f} of {len(ladder.rates(name))}",
        "" if not name else told(ratio(ladder, picked(name), "rate")),
        "-" if rate is None else f"{rate:g}",
        steps,
        "" if not name else told(speedup(ladder, picked(name))),
        shown,
        "" if not name else difference(ladder, name),
    ]
    transforms = ("StableSPAM", "UClip", "no clipping")  # these have no coefficient
    return [*cells, "-" if name.startswith(transforms) or not name else clipped]


def stable(ladder: Ladder, name: str, seed: int) -> int:
    return sum(ladder.stable(run) for run in ladder.of(name) if run.seed == seed)


def picked(name: str) -> Picks:
    """Held against no clipping."""
    return Picks(clip=name, masks=(), harden="")


def told(estimate: Estimate | None) -> str:
    return "-" if estimate is None else times(estimate).replace(" times", "")


def difference(ladder: Ladder, name: str) -> str:
    """Of the held-out figure, contender less reference, each at its best rate."""
    figures = []
    for arm in (name, ""):
        rate = ladder.chosen(arm)
        runs = [] if rate is None else ladder.of(arm, [rate])
        figures.append({r.seed: r.test for r in runs if r.test is not None})
    seeds = sorted(figures[0].keys() & figures[1].keys())
    if not seeds:
        return "-"
    order = ladder.runs[0].net == TemporalOrder.name
    scale, digits = (100.0, 1) if order else (1.0, 3)
    e = paired_mean([scale * (figures[0][s] - figures[1][s]) for s in seeds])
    return f"{e.value:+.{digits}f} [{e.low:+.{digits}f}, {e.high:+.{digits}f}]"


HEAD = (
    "contender",
    "stable rates",
    "largest stable rate / reference",
    "best rate",
    "steps to target, by seed",
    "reference's steps / its own",
    "figure",
    "figure - reference",
    "steps clipped",
)
WORDS = """\
Weights and batches are the same for every contender of a seed. *Stable*: not diverged, and
validation bits (perplexity in the temporal order) at most 1.1 times the best that any contender
reached with that seed. *Best rate*: the lowest mean validation figure, of the rates at which no
seed diverged; the columns after it are at that rate. *Target*: a training loss of what bigram counts
reach (text) or 0.2 nats (temporal order), as a mean of ten steps; "-" was not reached. In brackets:
95 %, Student's t over the seeds, paired; for rates never narrower than one rung of the ladder.
"at least" and "at most": one of the two ends at the edge of the ladder, or misses the target.
*Steps clipped* is the share of the steps in which anything was scaled down, or that was skipped.
PyTorch's clipping and `MaxNorm` are the same rule up to rounding: where no gradient is NaN, what lies
between their two rows is chance."""


def render(found: Results, settings: Sequence[Setting], seeds: int) -> str:
    text = ["# What clipping does for training", "", *WORDS.splitlines(), ""]
    for setting in settings:
        # One task at a time: a ladder's best is that of all runs which it is made of.
        (ladder,) = ladders(r for r in found.trained if r.net == setting.task.name).values()
        rates = ", ".join(f"{r:g}" for r in setting.rates)
        text += [f"## {setting.title}", "", setting.about, "", f"Rates: {rates}.", ""]
        text += ["| " + " | ".join(HEAD) + " |", "|" + "---|" * len(HEAD)]
        lines = [line(ladder, name) for name, _ in contenders(setting)]
        text += ["| " + " | ".join(cells) + " |" for cells in lines] + [""]
    where = ", ".join(f"{k} {v}" for k, v in environment().items())
    return "\n".join([*text, f"{seeds} seeds. `python benchmarks/clip_use.py`", "", where]) + "\n"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    home = Path(tempfile.gettempdir()) / "gradwarden-clip-use"
    parser.add_argument("--store", type=Path, default=home, help="folder of the finished runs")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--steps", type=int, help="fewer, for a try: the tables are only printed")
    options = parser.parse_args()
    chosen: tuple[Setting, ...] = SETTINGS
    if options.steps is not None:
        chosen = tuple(replace(s, task=replace(s.task, steps=options.steps)) for s in SETTINGS)
    found = results(jobs(chosen, options.seeds), Store(options.store))
    text = render(found, chosen, options.seeds)
    print(text)
    if options.steps is None:
        RESULTS.parent.mkdir(parents=True, exist_ok=True)
        RESULTS.write_text(text)
