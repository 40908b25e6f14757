"""Made-up records of realistic size for the report's tests; no figure in them was measured."""

from __future__ import annotations

import base64
import math
import struct
import zlib
from dataclasses import fields, is_dataclass, replace
from typing import Any

from gradwarden.core.comparison import Answer, Comparison, Contender, Point, Run
from gradwarden.core.display import Figure, Gallery, Picture, Row, Series, Table
from gradwarden.core.estimate import Estimate
from gradwarden.core.records import Origin

RATES = (8.0, 11.0, 16.0, 23.0, 32.0, 45.0)
RADII = (0.0, 0.05, 0.1, 0.2)
ORIGIN = Origin(
    version="0.1.0",
    command="gradwarden compare lstm-text digits-cnn --seeds 5 --out report",
    environment={"torch": "2.13.0+cpu", "python": "3.11.2", "cores": "2", "processor": "AMD EPYC"},
    sources={"clip/norm.py": "9f86d081884c7d65", "attack/pgd.py": "60303ae22b998861"},
    seeds=(0, 1, 2, 3, 4),
)


def estimate(value: float, half: float, n: int = 5, bound: str = "") -> Estimate:
    return Estimate(value=value, low=value - half, high=value + half, n=n, bound=bound)


def png(shade: int, size: int = 28) -> str:
    """A grey ramp with a darker disc, base64."""
    rows = b"".join(
        b"\0"
        + bytes(
            min(255, max(0, 255 - 9 * int(math.hypot(i - 14, j - 14)) - shade * ((i * j) % 3)))
            for j in range(size)
        )
        for i in range(size)
    )

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = struct.pack(">IIBBBBB", size, size, 8, 0, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return base64.b64encode(b"\x89PNG\r\n\x1a\n" + body).decode()


def loss_by_rate() -> Figure:
    off = (2.61, 2.55, 2.58, 2.94, math.inf, math.nan)
    on = (2.60, 2.51, 2.47, 2.46, 2.49, 2.58)
    quantile = (2.62, 2.53, 2.48, 2.47, 2.47, 2.5)

    def line(name: str, y: tuple[float, ...], dashed: bool = False, group: str = "") -> Series:
        low, high = (tuple(v + s * (0.03 + 0.01 * i) for i, v in enumerate(y)) for s in (-1, 1))
        return Series(name=name, x=RATES, y=y, low=low, high=high, dashed=dashed, group=group)

    return Figure(
        id="loss-by-rate",
        title="Held-out loss by learning rate",
        x_title="learning rate",
        y_title="bits per character",
        series=(
            line("no clipping", off),
            line("MaxNorm(0.25)", on, group="clipping"),
            line("Quantile", quantile, dashed=True, group="clipping"),
        ),
        log_x=True,
        says="Without clipping the loss rises above a rate of 16 and is lost above 32; "
        "with clipping it stays flat up to 45.",
        command="gradwarden compare lstm-text --seeds 5",
    )


def norms() -> Figure:
    steps = tuple(float(i) for i in range(0, 160, 2))
    spiky = tuple(0.3 + 0.1 * math.sin(i / 5) + (40.0 if i == 62 else 0.0) for i in steps)
    return Figure(
        id="norms",
        title="Gradient norms and the threshold over a run",
        x_title="step",
        y_title="norm of the gradient",
        series=(
            Series(name="norm before clipping", x=steps, y=spiky, markers=False),
            Series(
                name="threshold",
                x=steps,
                y=(0.25,) * len(steps),
                dashed=True,
                markers=False,
            ),
        ),
        log_y=True,
        says="One step's norm is a hundred times the ordinary one; the threshold cuts it.",
    )


def accuracy_by_radius() -> Figure:
    def line(name: str, y: tuple[float, ...], group: str, dashed: bool = False) -> Series:
        low = tuple(max(0.0, v - 0.07) for v in y)
        high = tuple(min(1.0, v + 0.07) for v in y)
        return Series(name=name, x=RADII, y=y, low=low, high=high, group=group, dashed=dashed)

    return Figure(
        id="accuracy-by-radius",
        title="Accuracy against radius",
        x_title="radius of the Linf ball",
        y_title="accuracy",
        series=(
            line("BitDepth, naive", (0.97, 0.95, 0.93, 0.9), "BitDepth", dashed=True),
            line("BitDepth, adaptive", (0.97, 0.8, 0.41, 0.02), "BitDepth"),
            line("Distillation, naive", (0.98, 0.96, 0.94, 0.93), "Distillation", dashed=True),
            line("Distillation, adaptive", (0.98, 0.71, 0.18, 0.0), "Distillation"),
            line("adversarial training", (0.97, 0.95, 0.9, 0.55), "adversarial training"),
        ),
        percent_y=True,
        says="The naive attacker sees 93 % left at 0.1 where the adaptive one leaves 41 % and 18 %.",
    )


def arms() -> Table:
    return Table(
        title="Clipping and no clipping, arm by arm",
        columns=("Arm", "Diverged", "Largest stable rate", "Bits per character", "Clipped steps"),
        rows=(
            Row(cells=("no clipping", "11 of 30", "16", "2.55", "\N{EN DASH}")),
            Row(cells=("MaxNorm(max_norm=0.25)", "0 of 30", "≥ 45", "2.46", "71 %"), pick=True),
            Row(cells=("Quantile(q=0.1, window=1000)", "0 of 15", "≥ 45", "2.47", "90 %")),
            Row(cells=("ZScore()", "1 of 15", "32", "2.49", "6 %")),
        ),
        note="Five seeds an arm; arms share initial weights and batches.",
    )


def claim(id: str, sentence: str, answer: str, **more: Any) -> Answer:
    first = Answer(
        id=id,
        claim=sentence,
        answer=answer,
        says="In the runs without clipping 11 of 30 were lost, with it none.",
        how="Share of diverged runs, paired by seed. Null: no difference. Smallest: 10 points.",
        effect=estimate(36.7, 12.4),
        null=0.0,
        smallest=10.0,
        unit="points",
        about="clipping",
        command=f"gradwarden compare lstm-text --seeds 5 --only {id}",
    )
    return replace(first, **more)


def answers() -> tuple[Answer, ...]:
    return (
        claim(
            "C0",
            "Gradients grow exponentially with sequence length and depth.",
            "open",
            says="The log norm rises by 0.021 a step of the sequence; over depth it does not.",
            effect=estimate(0.021, 0.034),
            smallest=0.01,
            unit="log norm a step",
            figures=("norms",),
        ),
        claim(
            "C1",
            "Clipping prevents divergence and NaN.",
            "supported",
            table=arms(),
            figures=("loss-by-rate",),
            parts=(
                claim("C1.lstm", "... in an LSTM trained by SGD", "supported"),
                claim(
                    "C1.adamw",
                    "... in an LSTM trained by AdamW",
                    "open",
                    effect=estimate(3.1, 8.8),
                    says="AdamW loses 2 of 15 runs without clipping, 1 of 15 with it.",
                ),
            ),
        ),
        claim(
            "C2",
            "Clipping allows larger learning rates.",
            "supported",
            says="The largest stable rate is at least 2.8 times as large.",
            effect=estimate(1.034, 0.34, bound="at least"),
            smallest=0.182,
            unit="log ratio",
            counts=False,
            figures=("loss-by-rate",),
        ),
        claim(
            "M1",
            "Masking stops attackers who follow the gradient.",
            "supported",
            about="masking",
            effect=None,
            parts=(
                claim(
                    "M1.depth",
                    "... BitDepth(bits=3)",
                    "supported",
                    about="masking",
                    effect=Estimate(value=0.935, low=0.909, high=0.956, n=478),
                    null=0.5,
                    smallest=0.1,
                    unit="share of images saved",
                ),
                claim("M1.jpeg", "... JPEG(quality=50)", "supported", about="masking"),
            ),
            says="PGD with the defence's own gradient leaves 94 % where it leaves 22 % undefended.",
        ),
        claim(
            "M2",
            "Masking makes the model secure.",
            "refuted",
            about="masking",
            says="The adaptive attack leaves 18 % to 41 %; adversarial training keeps 90 %.",
            effect=estimate(-58.0, 5.1, n=500),
            figures=("accuracy-by-radius",),
        ),
        claim(
            "M3",
            "Masking suits vehicles, fraud and medicine.",
            "not run",
            about="masking",
            effect=None,
            says="No task of these fields was run.",
            how="",
            command="",
        ),
    )


def comparison() -> Comparison:
    return Comparison(
        title="Gradient clipping vs gradient masking",
        summary=(
            Point(
                text="Clipping does what is said of it: it saved every run.", claims=("C1", "C2")
            ),
            Point(text="Masking stops an attacker who only follows the gradient.", claims=("M1",)),
            Point(text="It does not make a model secure.", claims=("M2", "M3", "X9")),
        ),
        contenders=(
            Contender(
                name="Gradient clipping",
                what="Bounds the gradient of the parameters while a model is trained.",
                pros=(
                    Point(text="No run diverged at any rate.", claims=("C1",)),
                    Point(text="Larger learning rates are stable.", claims=("C2",)),
                ),
                cons=(Point(text="A threshold has to be chosen.", claims=("C0",)),),
                use_if=(Point(text="You train a recurrent net or a transformer.", claims=("C1",)),),
            ),
            Contender(
                name="Gradient masking",
                what="Hides the gradient of the input from those who would attack with it.",
                pros=(Point(text="Plain gradient attacks fail against it.", claims=("M1",)),),
                cons=(
                    Point(text="An adaptive attack breaks it.", claims=("M2",)),
                    Point(text="The figure it reports is not its robustness.", claims=("M1", "M2")),
                ),
                use_if=(),
            ),
        ),
        bottom_line=(
            Point(text="The two serve different ends, so neither wins.", claims=("C1", "M2")),
            Point(
                text="To resist attacks, train adversarially and audit the result.", claims=("M2",)
            ),
        ),
        answers=answers(),
        tables=(replace(arms(), title="Accuracy of each defence"),),
        figures=(loss_by_rate(), norms(), accuracy_by_radius(), replace(norms(), id="spare")),
        galleries=(
            Gallery(
                id="pictures",
                title="Adversarial images beside their originals",
                columns=("original", "undefended", "BitDepth", "adversarial training"),
                rows=tuple(
                    tuple(
                        Picture(caption=f"{row}, read as {row + k}", png=png(20 * k), pixels=112)
                        for k in range(4)
                    )
                    for row in (7, 2)
                ),
                says="A person reads the same digit in each row.",
                command="gradwarden compare digits-cnn --seeds 1",
            ),
        ),
        seconds=Table(
            title="Seconds by task",
            columns=("Task", "Runs", "Seconds"),
            rows=(
                Row(cells=("lstm-text", "86", "91.4")),
                Row(cells=("digits-cnn", "9", "44.0")),
                Row(cells=("in all", "95", "135.4")),
            ),
        ),
        notes=("Small models on two cores.", "M3 was not run."),
        origin=ORIGIN,
        runs=(
            Run(
                task="lstm-text",
                arm="MaxNorm(max_norm=0.25)",
                seed=0,
                config={"rate": 8.0, "steps": 160},
                sources={"clip/norm.py": "9f86d081884c7d65"},
                seconds=1.02,
                result={"bits": 2.6},
            ),
        ),
    )


def hostile(value: Any, text: str) -> Any:
    """The same record with `text` after every string in it that may be any text."""
    if is_dataclass(value) and not isinstance(value, type):
        fixed = {"bound", "verdict", "answer", "png"}
        return replace(
            value,
            **{
                f.name: hostile(getattr(value, f.name), text)
                for f in fields(value)
                if f.name not in fixed
            },
        )
    if isinstance(value, tuple):
        return tuple(hostile(v, text) for v in value)
    if isinstance(value, dict):
        return {hostile(k, text): hostile(v, text) for k, v in value.items()}
    return value + text if isinstance(value, str) else value
