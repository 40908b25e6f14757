"""The lists of attacks that several entries share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from torch import Tensor, nn

from gradwarden.attack.apgd import APGD
from gradwarden.attack.bpda import BPDA
from gradwarden.attack.eot import EOT
from gradwarden.attack.to_the_end import ToTheEnd
from gradwarden.core.goal import Strongest
from gradwarden.core.protocols import Attack, Patch, Surrogated
from gradwarden.core.search import Attacked, Model
from gradwarden.core.threat import Threat
from gradwarden.mask.inside import replaced
from gradwarden.mask.surrogates import surrogates
from gradwarden.zoo.adaptive import scored
from gradwarden.zoo.definition import Samples
from gradwarden.zoo.development.attacks import CASCADE

CLIMB = APGD(loss="margin", restarts=2)


@dataclass(frozen=True, kw_only=True)
class Without:
    """`attack` on `bare`, the model without its mask; its points, as the model answers them."""

    attack: Attack
    bare: nn.Module = field(repr=False)

    def run(
        self,
        model: Model,
        x: Tensor,
        y: Tensor,
        threat: Threat,
        *,
        seed: int = 0,
        ids: Sequence[int] | None = None,
    ) -> Attacked:
        """As `attack.run`."""
        hardest = replace(threat, goal=Strongest(threat.goal))
        found = self.attack.run(self.bare, x, y, hardest, seed=seed, ids=ids)
        return scored(model, found.x_adv, x, y, threat, ids)


def bare(named: nn.Module) -> nn.Module:
    """Every mask replaced by its surrogate, on the way forward too."""

    def soft(mask: nn.Module) -> nn.Module:
        assert isinstance(mask, Surrogated)
        return mask.surrogate()

    paths = [path for path, mask in named.named_modules() if isinstance(mask, Surrogated)]
    return replaced(named, paths, soft)


def without(named: nn.Module, train: Samples) -> tuple[Attack, ...]:
    """The net without the mask, then the gradient of what each mask names as its stand-in."""
    del train
    patches: tuple[Patch, ...] = surrogates(named)
    through = tuple(BPDA(attack=attack, patches=patches) for attack in CASCADE)
    return Without(attack=CLIMB, bare=bare(named)), *through


def over_draws(named: nn.Module, train: Samples) -> tuple[Attack, ...]:
    """The net without the mask; then the mean loss over draws, with and without surrogates."""
    del train
    patches: tuple[Patch, ...] = surrogates(named)
    mean = EOT(attack=APGD(steps=40, loss="margin"), draws=12)
    return (
        Without(attack=CLIMB, bare=bare(named)),
        ToTheEnd(attack=BPDA(attack=mean, patches=patches)),
        ToTheEnd(attack=mean),
    )


def over_draws_first(named: nn.Module, train: Samples) -> tuple[Attack, ...]:
    """The same, the mean over draws first: what the bare net falls to, many draws withstand."""
    bare_net, mean_through, mean = over_draws(named, train)
    return mean_through, bare_net, mean
