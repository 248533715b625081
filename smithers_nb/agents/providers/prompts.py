"""The instructions for providers, which are files in `templates/prompts`."""

from __future__ import annotations

from functools import cache

from smithers_nb.resources import resource


@cache
def instructions(*names: str) -> str:
    """Return the instructions of these names, one after the other: the task, then what is particular to a provider."""
    folder = resource("templates/prompts")
    return "\n".join((folder / f"{name}.md").read_text(encoding="utf-8").strip() for name in names)
