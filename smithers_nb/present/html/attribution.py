"""Who wrote what of an investigation, and the plain words that stand beside a long error."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from smithers_nb.present.html.parts import note
from smithers_nb.present.html.text import one_line, shown

if TYPE_CHECKING:
    from smithers_nb.model.verdict import Authors
    from smithers_nb.present.html.markup import Card


def plain_words(summary: str, author: str = "internal") -> Card:
    """Put a long error in plain words, to stand beside the text itself."""
    by = "" if author == "internal" else f" (written by {one_line(author)})"
    return note(f"In plain words{by}: {shown(summary, 2_000)}")


def written_by(authors: Authors) -> str:
    """Name who wrote what, when somebody else than the rules did; empty otherwise."""
    parts = {
        "narrative": authors.narrative,
        "class and confidence": authors.judgement,
        "advice": authors.advice,
        "plain words": authors.error_summary,
    }
    by: dict[str, list[str]] = {}
    for part, author in parts.items():
        if author != "internal":
            by.setdefault(author, []).append(part)
    told = [f"{', '.join(names)} by {one_line(author)}" for author, names in by.items()]
    return "; ".join([*told, *(["the rest by the rules"] if told and "internal" in parts.values() else [])])


def provider_cards(authors: Authors, notes: Sequence[str]) -> list[Card]:
    """Describe what a provider wrote, and what of its answer was not taken; no card when none was asked."""
    who = written_by(authors)
    lines = [*([f"{who[0].upper()}{who[1:]}."] if who else []), *notes]
    return [note(shown(line, 600), state="info" if at == 0 and who else "problem") for at, line in enumerate(lines)]
