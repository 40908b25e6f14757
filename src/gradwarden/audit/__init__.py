"""Is this robustness real, and where is the gradient hidden?"""

from typing import TYPE_CHECKING

from gradwarden.core.lazy import lazy

if TYPE_CHECKING:
    from gradwarden.audit.budgets import Budget as Budget
    from gradwarden.audit.examine import examine as examine
    from gradwarden.audit.planner import Adapted as Adapted
    from gradwarden.audit.planner import adapt as adapt
    from gradwarden.audit.route import Route as Route

__all__, __getattr__, __dir__ = lazy(__name__)
