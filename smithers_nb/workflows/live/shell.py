"""The document around the fragments of a live page: heading, containers for the fragments, theme and script.

It works without its script: it is sent complete, its forms work, and it then reloads every few seconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Final, NamedTuple

from smithers_nb.present.html.markup import Html, h, join
from smithers_nb.present.html.theme import minified, theme_css
from smithers_nb.present.report.exporter import policy
from smithers_nb.resources import resource
from smithers_nb.workflows.live.feed import PROBLEM
from smithers_nb.workflows.live.fleet_page import GROUP
from smithers_nb.workflows.live.forms import PREFIX

_RELOAD_S: Final = 5
_COLUMNS: Final = ("Run", "Workflow", "State", "Started", "Took", "Error")


class Document(NamedTuple):
    """The content of a page.

    Attributes:
        page: Name of the feed of its fragments; empty for a page that does not change.
        sections: Ids of the fragments in the order in which they are shown.
        version: Version of the fragments.
        links: Text and address of related pages.
    """

    title: str
    page: str
    sections: Sequence[str]
    fragments: Mapping[str, Html | None]
    version: int
    links: Sequence[tuple[str, str]] = ()


def document(shown: Document) -> str:
    """Render a page as an HTML document."""
    reload = h("noscript", Html(f'<meta http-equiv="refresh" content="{_RELOAD_S}">')) if shown.page else None
    head = join(
        (
            Html('<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'),
            h("title", shown.title),
            reload,
            h("style", Html(style())),
        )
    )
    links = [h("a", text, href=address) for text, address in shown.links]
    connection = h("span", "", id="connection", class_="snb-muted", role="status")
    body = h(
        "main",
        h("nav", *links, connection, aria_label="Pages") if shown.page else None,
        h("h1", shown.title),
        _list(shown, PROBLEM),
        *(_section(shown, name) for name in shown.sections),
    )
    script = h("script", Html(_script())) if shown.page else ""
    attributes = f'class="snb" data-page="{h("i", shown.page)[3:-4]}" data-version="{shown.version}"'
    return f'<!doctype html><html lang="en"><head>{head}</head><body {attributes}>{body}{script}</body></html>'


def security() -> str:
    """Return the Content-Security-Policy of a page."""
    own = policy([style()], [_script()], forms="'self'")
    return f"{own}; connect-src 'self'; frame-src 'self'; frame-ancestors 'none'"


@cache
def style() -> str:
    """Return the style sheet: the theme and the additions for live pages."""
    return theme_css() + minified(resource("templates/live/live.css").read_text(encoding="utf-8"))


@cache
def _script() -> str:
    return resource("templates/live/live.js").read_text(encoding="utf-8").strip()


def _section(shown: Document, name: str) -> Html:
    if name == "asks":
        return _list(shown, PREFIX)
    if name == "runs":
        return _table(shown)
    role = {"role": "status"} if name == "status" else {}
    return h("div", shown.fragments.get(name), id=f"f-{name}", **role)


def _list(shown: Document, prefix: str) -> Html:
    return h("div", *_parts(shown, prefix, "div"), data_prefix=prefix, data_tag="div")


def _parts(shown: Document, prefix: str, tag: str) -> list[Html]:
    return [h(tag, text, id=f"f-{name}") for name, text in shown.fragments.items() if name.startswith(prefix) and text is not None]


def _table(shown: Document) -> Html:
    head = h("thead", h("tr", *(h("th", column, scope="col") for column in _COLUMNS)))
    groups = _parts(shown, GROUP, "tbody")
    caption = h("caption", "Every run, newest first")
    whole = h("table", caption, head, *groups, class_="snb-table", data_prefix=GROUP, data_tag="tbody", data_newest="first")
    words = h("label", "Find ", Html('<input name="words" type="search" autocomplete="off" placeholder="words of a run">'))
    states = h("label", "State ", h("select", h("option", "any", value=""), name="state"))
    count = h("p", id="shown", class_="snb-muted", role="status")
    form = h("form", words, states, count, id="filter", class_="snb-filter", hidden=True)
    return join((form, h("div", whole, class_="snb-scroll", tabindex="0", role="group", aria_label="Every run, newest first")))
