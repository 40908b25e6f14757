"""Attacks, the referee that checks them, and the ledger of who broke what."""

from typing import TYPE_CHECKING

from gradwarden.core.lazy import lazy

if TYPE_CHECKING:
    from gradwarden.attack.apgd import APGD as APGD
    from gradwarden.attack.bpda import BPDA as BPDA
    from gradwarden.attack.bpda import Surrogate as Surrogate
    from gradwarden.attack.bpda import patched as patched
    from gradwarden.attack.capgd import CAPGD as CAPGD
    from gradwarden.attack.carlini_wagner import CarliniWagner as CarliniWagner
    from gradwarden.attack.ddn import DDN as DDN
    from gradwarden.attack.distances import minimum_norm as minimum_norm
    from gradwarden.attack.double import Double as Double
    from gradwarden.attack.eot import EOT as EOT
    from gradwarden.attack.evaluate import evaluate as evaluate
    from gradwarden.attack.evolution import Evolution as Evolution
    from gradwarden.attack.fab import FAB as FAB
    from gradwarden.attack.fgsm import FGSM as FGSM
    from gradwarden.attack.fmn import FMN as FMN
    from gradwarden.attack.gradient import GradientStatus as GradientStatus
    from gradwarden.attack.gradient import gradient_status as gradient_status
    from gradwarden.attack.hop_skip_jump import HopSkipJump as HopSkipJump
    from gradwarden.attack.ledger import run_cascade as run_cascade
    from gradwarden.attack.models import Binary as Binary
    from gradwarden.attack.models import FromProbabilities as FromProbabilities
    from gradwarden.attack.models import PredictProba as PredictProba
    from gradwarden.attack.noise import Noise as Noise
    from gradwarden.attack.pgd import PGD as PGD
    from gradwarden.attack.referee import Judged as Judged
    from gradwarden.attack.referee import judge as judge
    from gradwarden.attack.smoothed import Smoothed as Smoothed
    from gradwarden.attack.spsa import SPSA as SPSA
    from gradwarden.attack.square import Square as Square
    from gradwarden.attack.straight_through import StraightThrough as StraightThrough
    from gradwarden.attack.to_the_end import ToTheEnd as ToTheEnd
    from gradwarden.attack.transfer import Transfer as Transfer

__all__, __getattr__, __dir__ = lazy(__name__)
