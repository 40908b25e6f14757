"""Refuses a page that would fetch something from another host: a reader's browser asks this site alone."""

import re

TAG = re.compile(r"<(?:script|img|iframe|source|video|audio|embed|link)\b[^>]*>", re.IGNORECASE)
FAR = re.compile(r"""(?:src|href|srcset)\s*=\s*["']?((?:https?:)?//[^"'\s>]+)""", re.IGNORECASE)
STYLE = re.compile(r"""(?:url\(\s*|@import\s+)["']?((?:https?:)?//[^"')\s]+)""", re.IGNORECASE)


def fetched(page: str) -> list[str]:
    """Addresses on other hosts that a browser asks for by itself when it shows `page`."""
    tags = [tag for tag in TAG.findall(page) if not re.search(r"rel=.?canonical", tag)]
    styles = re.findall(r"<style\b.*?</style>|style=\"[^\"]*\"", page, re.DOTALL | re.IGNORECASE)
    return [
        *(far for tag in tags for far in FAR.findall(tag)),
        *(far for style in styles for far in STYLE.findall(style)),
    ]


def on_post_page(output: str, page: object, **_: object) -> str:
    """Raises ValueError for a page that fetches from elsewhere; it ends the build."""
    if far := fetched(output):
        raise ValueError(f"{page} fetches {', '.join(far)}: pages ask this site alone")
    return output
