"""Small pieces that cards and tables are made of: the mark of a state, a note, an empty place, an anchor."""

from __future__ import annotations

import re
import zlib
from typing import Literal

from smithers_nb.present.html.markup import Card, Html, h, join
from smithers_nb.present.html.states import look
from smithers_nb.present.html.text import one_line, shown

Emptiness = Literal["no-source", "no-runs", "no-match", "nothing-recorded"]

_EMPTY: dict[Emptiness, str] = {
    "no-source": "No store of runs was found",
    "no-runs": "The store is there, but holds no runs",
    "no-match": "Nothing matches the filter",
    "nothing-recorded": "Nothing of this kind was recorded",
}


def note(message: str, *, state: str = "info") -> Card:
    """Show one thing in passing, with the icon of a state."""
    seen = look(state)
    return Card(
        h("p", state_mark(state), " ", shown(message, 2_000), class_=f"snb snb-note snb-{seen.tone}"),
        f"{seen.icon} {shown(message, 2_000)}",
    )


def empty(kind: Emptiness, what: str = "", *, hint: str = "") -> Card:
    """Explain why there is nothing to see: each reason reads differently.

    Args:
        kind: Which of the reasons it is.
        what: What was looked for, or where.
        hint: What to do next.
    """
    sentence = f"{_EMPTY[kind]}: {one_line(what, 240)}." if what else f"{_EMPTY[kind]}."
    page = h(
        "p",
        h("span", "∅", class_="snb-icon", aria_hidden="true"),
        " ",
        sentence,
        f" {hint}" if hint else None,
        class_=f"snb snb-empty snb-{kind}",
    )
    return Card(page, f"∅ {sentence}{f' {hint}' if hint else ''}")


def anchor(ref: str, kind: str = "ref") -> str:
    """Return the id that a reference has in a page; equal for equal references only."""
    slug = re.sub(r"[^A-Za-z0-9]+", "-", ref[:80]).strip("-")
    plain = re.fullmatch(r"[A-Za-z0-9:/]{1,80}", ref)
    return f"snb-{kind}-{slug}" if plain else f"snb-{kind}-{slug}-{zlib.crc32(ref.encode('utf-8', 'replace')):08x}"


def state_mark(state: str) -> Html:
    """Build icon and word of a state."""
    seen = look(state)
    return join([h("span", seen.icon, class_="snb-icon", aria_hidden="true"), h("span", seen.word, class_="snb-word")])
