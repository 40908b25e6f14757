"""Gradient clipping that never loses a run, and audits that find hidden gradients, for PyTorch.

Public names are imported on first use (PEP 562): `import gradwarden` needs no torch.
"""

from typing import TYPE_CHECKING

from gradwarden.core.lazy import lazy

if TYPE_CHECKING:
    from gradwarden import attack as attack
    from gradwarden import audit as audit
    from gradwarden import clip as clip
    from gradwarden import compare as compare
    from gradwarden import harden as harden
    from gradwarden import mask as mask
    from gradwarden import report as report
    from gradwarden import tasks as tasks
    from gradwarden.core.balls.l0 import L0 as L0
    from gradwarden.core.balls.l1 import L1 as L1
    from gradwarden.core.balls.l2 import L2 as L2
    from gradwarden.core.balls.linf import Linf as Linf
    from gradwarden.core.balls.patch import Patch as Patch
    from gradwarden.core.balls.scaled import Scaled as Scaled
    from gradwarden.core.estimate import Estimate as Estimate
    from gradwarden.core.goal import Evades as Evades
    from gradwarden.core.goal import Targeted as Targeted
    from gradwarden.core.goal import Untargeted as Untargeted
    from gradwarden.core.goal import operating_threshold as operating_threshold
    from gradwarden.core.tabular import Tabular as Tabular
    from gradwarden.core.tabular_features import Category as Category
    from gradwarden.core.tabular_features import Integer as Integer
    from gradwarden.core.tabular_features import Real as Real
    from gradwarden.core.threat import Threat as Threat

__version__ = "0.1.0"

__all__, __getattr__, __dir__ = lazy(__name__)
