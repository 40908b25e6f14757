"""Records as JSON, HTML and terminal text: pure functions, same records, same bytes."""

from typing import TYPE_CHECKING

from gradwarden.core.lazy import lazy

if TYPE_CHECKING:
    from gradwarden.report import html as html
    from gradwarden.report import markdown as markdown
    from gradwarden.report import terminal as terminal
    from gradwarden.report.files import write as write

__all__, __getattr__, __dir__ = lazy(__name__)
