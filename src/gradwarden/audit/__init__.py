"""Is this robustness real, and where is the gradient hidden?"""

from typing import TYPE_CHECKING

from gradwarden.core.lazy import lazy

if TYPE_CHECKING:
    from gradwarden.audit.examine import Measured as Measured
    from gradwarden.audit.examine import examine as examine
    from gradwarden.audit.examine import measure as measure
    from gradwarden.audit.planner import Adapted as Adapted
    from gradwarden.audit.planner import adapt as adapt

__all__, __getattr__, __dir__ = lazy(__name__)
