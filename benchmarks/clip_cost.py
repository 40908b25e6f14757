"""What a step costs beside `torch.nn.utils.clip_grad_norm_`, as ratios of medians in one run.

Every timed call starts from the same gradients; ours and torch's alternate, so that the machine's
other work falls on both. `python benchmarks/clip_cost.py` prints the table and keeps it in
benchmarks/results/clip_cost.md; with `--device cuda`, in clip_cost_cuda.md.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from gradwarden.clip.attach import attach
from gradwarden.clip.clipper import Clipper
from gradwarden.clip.rules.max_norm import MaxNorm
from gradwarden.core.provenance import environment

SHAPES = [(134, 98), (3.8, 11), (16, 1000)]  # megabytes of float32, in so many tensors
LARGE = (4000, 400)  # on a GPU, a billion weights as well
BOUNDS = {"unclipped": 1e9, "clipped": 1.0}
# Only where norms are at hand can a step that needs no clipping be cheaper.
TARGETS = {
    "cpu": {"unclipped": 0.75, "clipped": 1.2, "clip + fused AdamW": 1.0},
    "cuda": {"unclipped": 1.2, "clipped": 1.2, "clip + fused AdamW": 1.0},
}
RESULTS = Path(__file__).parent / "results"


def parameters(megabytes: float, tensors: int, device: str) -> list[nn.Parameter]:
    size = int(megabytes * 1e6 / 4 / tensors)
    rng = torch.Generator(device).manual_seed(0)
    found = [nn.Parameter(torch.zeros(size, device=device)) for _ in range(tensors)]
    for p in found:
        p.grad = torch.randn(size, generator=rng, device=device)
    return found


def alternate(
    calls: list[Callable[[], object]],
    reset: Callable[[], None],
    n: int,
    wait: Callable[[], None],
) -> list[float]:
    """Median seconds of each call over `n` rounds, each from the same gradients.

    `wait` returns once the device has done its work.
    """
    seconds: list[list[float]] = [[] for _ in calls]
    for i in range(n + 2):
        for call, kept in zip(calls, seconds, strict=True):
            reset()
            wait()
            start = time.perf_counter()
            call()
            wait()
            if i >= 2:
                kept.append(time.perf_counter() - start)
    return [statistics.median(kept) for kept in seconds]


def nothing() -> None:
    """The CPU has done its work when a call returns."""


def rows(rounds: int, device: str) -> list[tuple[str, int, str, float, float]]:
    """(shape, threads, what, torch's milliseconds, ratio of ours over torch's)."""
    table = []
    on_cpu = device == "cpu"
    wait = nothing if on_cpu else torch.cuda.synchronize
    for threads in (1, 2) if on_cpu else (1,):
        torch.set_num_threads(threads)
        for megabytes, tensors in SHAPES if on_cpu else [*SHAPES, LARGE]:
            params = parameters(megabytes, tensors, device)
            kept = [p.grad.clone() for p in params if p.grad is not None]
            for what, theirs, ours in contenders(params):
                n = rounds if megabytes > 100 else 4 * rounds
                a, b = alternate([theirs, ours], lambda p=params, k=kept: reset(p, k), n, wait)  # type: ignore[misc]
                table.append((f"{megabytes} MB in {tensors}", threads, what, a * 1e3, b / a))
    return table


def contenders(
    params: list[nn.Parameter],
) -> list[tuple[str, Callable[[], object], Callable[[], object]]]:
    """(what, torch's call, ours)."""
    found: list[tuple[str, Callable[[], object], Callable[[], object]]] = []
    pairs = [(str(i), p) for i, p in enumerate(params)]
    for what, bound in BOUNDS.items():
        clipper = Clipper(pairs, MaxNorm(bound))
        found.append(
            (what, lambda b=bound: nn.utils.clip_grad_norm_(params, b), clipper.step)  # type: ignore[misc]
        )
    plain, hooked = (torch.optim.AdamW(params, lr=1e-9, fused=True) for _ in range(2))
    attach(hooked, MaxNorm(1.0))

    def clip_then_step() -> None:
        nn.utils.clip_grad_norm_(params, 1.0)
        plain.step()

    found.append(("clip + fused AdamW", clip_then_step, hooked.step))
    return found


def reset(params: list[nn.Parameter], kept: list[Tensor]) -> None:
    torch._foreach_copy_([p.grad for p in params if p.grad is not None], kept)


def memory(device: str) -> str:
    """Bytes that a clipped step holds beyond the gradients, at its peak, for the first shape."""
    params = parameters(*SHAPES[0], device)
    clipper = Clipper([(str(i), p) for i, p in enumerate(params)], MaxNorm(1.0))
    clipper.step()
    reset(params, [p.grad.clone() for p in params if p.grad is not None])
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        clipper.step()
        return f"{(torch.cuda.max_memory_allocated() - before) / 1e6:.2f} MB"
    with torch.profiler.profile(profile_memory=True) as seen:
        clipper.step()
    now = peak = 0
    for event in seen.profiler.kineto_results.events():
        if event.name() == "[memory]":
            now += event.nbytes()
            peak = max(peak, now)
    return f"{peak / 1e6:.2f} MB"


def render(table: list[tuple[str, int, str, float, float]], device: str) -> str:
    targets, how = TARGETS[device], "" if device == "cpu" else f" --device {device}"
    about = "Ratio of medians, float32 gradients, one run, no recorder."
    lines = [
        "# Cost of a step over torch.nn.utils.clip_grad_norm_",
        "",
        f"{about} `python benchmarks/clip_cost.py{how}`",
        "",
        "| gradients | threads | step | torch, ms | ratio | target | |",
        "|---|---|---|---|---|---|---|",
    ]
    for shape, threads, what, milliseconds, ratio in table:
        met = "met" if ratio <= targets[what] else "**missed**"
        lines.append(
            f"| {shape} | {threads} | {what} | {milliseconds:.2f} | {ratio:.2f} | "
            f"at most {targets[what]:.2f} | {met} |"
        )
    busy = f"Load average at the end, this run's included: {os.getloadavg()[0]:.1f}."
    where = ", ".join(f"{k} {v}" for k, v in environment().items())
    if device == "cuda":
        where = f"{torch.cuda.get_device_name()}, {where}"
    lines += [
        "",
        f"Peak memory beyond the gradients: {memory(device)} (target: under 1 MB).",
        "",
        busy,
        "",
        where,
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--device", choices=sorted(TARGETS), default="cpu")
    options = parser.parse_args()
    text = render(rows(options.rounds, options.device), options.device)
    print(text)
    RESULTS.mkdir(parents=True, exist_ok=True)
    name = "clip_cost.md" if options.device == "cpu" else f"clip_cost_{options.device}.md"
    (RESULTS / name).write_text(text)
