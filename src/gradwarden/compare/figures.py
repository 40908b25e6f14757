"""The page's figures and pictures, from results."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from gradwarden.compare.claims.words import ATTACK, TRAIN
from gradwarden.compare.ladder import Ladder, ladders
from gradwarden.compare.picks import Picks, Words
from gradwarden.compare.results import SMOOTH, Defended, Grown, Results, Trained
from gradwarden.core.display import Figure, Gallery, Picture, Series

NONE = "no clipping"


def figures(results: Results, picks: Picks) -> tuple[Figure, ...]:
    """Those that the results have data for, in the order of the claims."""
    made: list[Figure] = []
    main, words = picks.main, picks.words
    groups = ladders(results.trained, higher=words.higher)
    made += [_rates(key, some, words) for key, some in groups.items() if key[0] == main[0]]
    if main in groups:
        made += [_explosion(groups[main], picks), _curves(groups[main], words)]
    for along in ("length", "depth"):
        some = [run for run in results.grown if run.along == along]
        made += [_growth(along, some)] if some else []
    if results.defended:
        made += _radius(results.defended, words)
    return tuple(made)


def gallery(results: Results) -> tuple[Gallery, ...]:
    """Images beside what the adaptive attack made of them, one row a defence."""
    shown = [run for run in results.defended if run.pictures]
    first = min((run.seed for run in shown), default=0)
    runs = [run for run in shown if run.seed == first]
    if not runs:
        return ()
    rows = tuple(tuple(_pairs(run)) for run in runs)
    return (
        Gallery(
            id="examples",
            title="What the adaptive attack made of the images",
            columns=("image", "attacked") * max(len(run.pictures) for run in runs),
            rows=rows,
            says=(
                "Each pair shows a held-out image and the attacked one beside it, with what the "
                "defended net takes it for. Where possible the pairs are ones that FGSM and PGD "
                "with the defence's own gradient had missed."
            ),
            command=ATTACK,
        ),
    )


def _pairs(run: Defended) -> Iterable[Picture]:
    for picture in run.pictures:
        name = run.defence or "no defence"
        label, predicted = picture["label"], picture["predicted"]
        yield Picture(caption=f"{name}: a {label}", png=picture["original"], pixels=84)
        taken = f"taken for a {predicted}"
        yield Picture(caption=taken, png=picture["adversarial"], pixels=84)


def _rates(key: tuple[str, str], ladder: Ladder, words: Words) -> Figure:
    net, optimizer = key
    order = "higher" if words.higher else "lower"
    series = []
    for rule in ladder.rules:
        points = []
        for rate in ladder.rates(rule):
            bits = [r.test for r in ladder.of(rule, [rate]) if r.test is not None]
            if bits:
                points.append((rate, sum(bits) / len(bits), min(bits), max(bits)))
        if points:
            x, y, low, high = zip(*points, strict=True)
            name = rule or NONE
            series.append(Series(name=name, x=x, y=y, low=low, high=high, group=name))
    return Figure(
        id=f"rates-{optimizer}",
        title=f"Held-out {words.short} by learning rate, {net} with {optimizer}",
        x_title="learning rate",
        y_title=f"{words.figure} on the test split",
        series=tuple(series),
        log_x=True,
        log_y=not words.higher and all(y > 0.0 for one in series for y in one.y),
        says=(
            f"Mean over seeds, band from the best to the worst seed; {order} is better. Seeds whose "
            "weights end non-finite have no figure and are left out here, but counted as diverged."
        ),
        command=TRAIN,
    )


def _explosion(ladder: Ladder, picks: Picks) -> Figure:
    """Norms over the steps at the lowest rate at which the first seed of the base diverges."""
    seed = ladder.seeds[0]
    rates = ladder.rates(picks.base, picks.clip)
    bare = [r for r in ladder.of(picks.base, rates) if r.seed == seed]
    lost = sorted((r for r in bare if r.diverged), key=lambda r: r.rate)
    rate = lost[0].rate if lost else max(r.rate for r in bare)
    series = []
    pair = ladder.of(picks.base, [rate]) + ladder.of(picks.clip, [rate])
    for run in sorted(pair, key=lambda r: r.rule):
        if run.seed == seed:
            name = run.rule or NONE
            series.append(_steps(f"norm, {name}", run.norms, name))
            if run.thresholds:
                series.append(_steps(f"threshold, {name}", run.thresholds, name, dashed=True))
    for run in ladder.runs:
        if run.rule not in (picks.base, picks.clip) and run.rate == rate and run.seed == seed:
            finite = [t if math.isfinite(t) else None for t in run.thresholds]
            shown = [(n, t) for n, t in enumerate(finite, 1) if t is not None]
            if shown:
                x, y = zip(*shown, strict=True)
                series.append(
                    Series(
                        name=f"threshold, {run.rule}",
                        x=tuple(map(float, x)),
                        y=y,
                        dashed=True,
                        markers=False,
                        group=run.rule,
                    )
                )
    return Figure(
        id="explosion",
        title=f"Gradient norm over the steps at rate {rate:g}, seed {seed}",
        x_title="step",
        y_title="gradient norm before clipping",
        series=tuple(series),
        log_y=True,
        says=(
            f"The same weights and batches with {picks.clip} and {picks.against}, at the lowest rate "
            f"at which this seed diverges {picks.against}, or the highest one. Dashed: thresholds, "
            "where finite."
        ),
        command=TRAIN,
    )


def _steps(name: str, values: Sequence[float], group: str, *, dashed: bool = False) -> Series:
    steps = tuple(float(n) for n in range(1, len(values) + 1))
    return Series(name=name, x=steps, y=tuple(values), dashed=dashed, markers=False, group=group)


def _curves(ladder: Ladder, words: Words) -> Figure:
    series = []
    for rule in ladder.rules:
        rate = ladder.chosen(rule)
        if rate is None:
            continue
        runs = ladder.of(rule, [rate])
        mean = [sum(step) / len(runs) for step in zip(*map(_smoothed, runs), strict=True)]
        name = f"{rule or NONE}, rate {rate:g}"
        steps = tuple(float(n) for n in range(SMOOTH, SMOOTH + len(mean)))
        series.append(Series(name=name, x=steps, y=tuple(mean), markers=False, group=rule or NONE))
    target = ladder.runs[0].target
    end = float(ladder.runs[0].steps)
    if target is not None:
        line = Series(name="target", x=(1.0, end), y=(target, target), dashed=True, markers=False)
        series.append(line)
    return Figure(
        id="curves",
        title="Training loss, each arm at its best rate",
        x_title="step",
        y_title=f"{words.loss}, mean of {SMOOTH} steps and all seeds",
        series=tuple(series),
        says=(
            f"Best rate: the best mean validation {words.short}. The target is {words.target}."
            if target is not None
            else f"Best rate: the best mean validation {words.short}."
        ),
        command=TRAIN,
    )


def _smoothed(run: Trained) -> list[float]:
    ends = range(SMOOTH, len(run.losses) + 1)
    return [round(sum(run.losses[end - SMOOTH : end]) / SMOOTH, 4) for end in ends]


def _growth(along: str, runs: Sequence[Grown]) -> Figure:
    groups: dict[str, list[Grown]] = {}
    for run in runs:
        groups.setdefault(f"{run.net}, {run.state}", []).append(run)
    series = []
    for name, some in groups.items():
        shared = set.intersection(*(set(run.sizes) for run in some))
        x = tuple(sorted(shared))
        logs = [[run.log_norms[run.sizes.index(size)] for run in some] for size in x]
        y = tuple(sum(log) / len(log) / math.log(10) for log in logs)
        low, high = (tuple(f(log) / math.log(10) for log in logs) for f in (min, max))
        series.append(Series(name=name, x=x, y=y, low=low, high=high, group=name))
    unit = "time steps" if along == "length" else "layers"
    return Figure(
        id="growth" if along == "length" else "growth-depth",
        title=f"Gradient norm against {along}",
        x_title=unit,
        y_title="decimal logarithm of the gradient norm",
        series=tuple(series),
        says="Mean over seeds, band from the smallest to the largest; a straight rise is exponential.",
        command=TRAIN,
    )


def _radius(runs: Sequence[Defended], words: Words) -> list[Figure]:
    """None where the ball has no other sizes."""
    sized = [run for run in runs if run.radii]
    if not sized:
        return []
    series = []
    for defence in dict.fromkeys(run.defence for run in sized):
        nets = [run for run in sized if run.defence == defence]
        clean = [n.clean[: n.curve_images].count("1") / n.curve_images for n in nets]
        for kind in ("naive", "adaptive"):
            curves = [(c, *getattr(n, f"{kind}_curve")) for c, n in zip(clean, nets, strict=True)]
            series.append(
                Series(
                    name=f"{defence or 'no defence'}, {kind}",
                    x=(0.0, *nets[0].radii),
                    y=tuple(sum(some) / len(nets) for some in zip(*curves, strict=True)),
                    dashed=kind == "naive",
                    group=defence or "no defence",
                )
            )
    figure = Figure(
        id="radius",
        title="Accuracy against radius",
        x_title=words.radius,
        y_title="accuracy under attack",
        series=tuple(series),
        percent_y=True,
        says=(
            f"First {sized[0].curve_images} held-out {words.sample}s, the mean over all nets. "
            "Dashed: FGSM and PGD with the "
            "defence's own gradient; solid: the adaptive attack too. Where the two part, the "
            "robustness was only apparent."
        ),
        command=ATTACK,
    )
    return [figure]
