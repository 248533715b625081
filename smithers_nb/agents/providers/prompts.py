"""The instructions for providers, which are files in `templates/prompts`."""

from __future__ import annotations

from functools import cache

from smithers_nb.resources import resource


@cache
def instructions(provider: str) -> str:
    """Return the instructions for a provider: the common part, then its own."""
    folder = resource("templates/prompts")
    return "\n".join((folder / name).read_text(encoding="utf-8").strip() for name in ("investigate.md", f"{provider}.md"))
