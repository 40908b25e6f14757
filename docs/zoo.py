"""Puts the zoo's table into the pages, from the stored answers."""

from gradwarden.zoo.listing import COLUMNS, row
from gradwarden.zoo.registry import names
from gradwarden.zoo.store import answers


def on_page_markdown(markdown: str, **_: object) -> str:
    """`{{ zoo development }}` on a line of its own becomes the table of that half."""
    return "\n".join(
        table(line.split()[2]) if line.startswith("{{ zoo ") else line
        for line in markdown.splitlines()
    )


def table(half: str) -> str:
    """Markdown; one row an entry. Raises ValueError for a half without any."""
    found = [answers(name) for name in names(half)]
    if not found:
        raise ValueError(f"the zoo has no half {half!r}")
    columns = [column for column in COLUMNS if column != "Half"]
    rows = [[cell for cell in row(one) if cell != half] for one in found]
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
