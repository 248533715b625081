"""A page of cards in one file: it opens anywhere, without a network and without scripts, light or dark as its reader's browser is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from smithers_nb.present.html.markup import Html, h, join
from smithers_nb.present.html.theme import theme_css

if TYPE_CHECKING:
    from smithers_nb.present.html.markup import Card

AROUND: Final = (
    "html{background:light-dark(#ffffff,#14171c);color-scheme:light dark}body.snb{margin:0;background:var(--snb-page)}"
    "main{max-width:70rem;margin:0 auto;padding:2rem 1rem}main>*{margin-bottom:1rem}"
    "main>h1{overflow-wrap:anywhere}"
)
"""Style of a page around its cards."""


def cards_page(title: str, *cards: Card) -> str:
    """Lay cards out as one page.

    Args:
        title: Its heading, and the name of its tab.
        cards: What it shows, from top to bottom.
    """
    head = join(
        (
            Html('<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'),
            h("title", title),
            h("style", Html(theme_css() + AROUND)),
        )
    )
    body = h("main", h("h1", title), *(card.html for card in cards))
    return f'<!doctype html><html lang="en"><head>{head}</head><body class="snb snb-report">{body}</body></html>'
