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
    from gradwarden.core.estimate import Estimate as Estimate
    from gradwarden.core.geometry import L2 as L2
    from gradwarden.core.geometry import Linf as Linf
    from gradwarden.core.threat import Targeted as Targeted
    from gradwarden.core.threat import Threat as Threat
    from gradwarden.core.threat import Untargeted as Untargeted

__version__ = "0.1.0"

__all__, __getattr__, __dir__ = lazy(__name__)
