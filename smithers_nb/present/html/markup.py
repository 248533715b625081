"""HTML that cannot carry what a run wrote into it as markup, and the `Card` that shows it.

`h` builds elements: a child that is not `Html` already is text, so it is redacted, made visible and escaped. A `Card` is such HTML
with a text twin; notebooks show the one, terminals the other, and the theme travels with it.
"""

from __future__ import annotations

import html
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from smithers_nb.present.html.text import shown, visible
from smithers_nb.redact import redact

_CODE = re.compile(r"(`[^`\n]+`)")
_VOID = frozenset({"br", "hr", "col", "wbr"})

REPORT_MARK = "smithers_nb_report"
"""Key in the metadata of an output; with `omit` a report leaves it out, such as a gate that nobody needs."""


class Html(str):
    """A string that is safe HTML already."""

    __slots__ = ()

    def __html__(self) -> str:
        return self


@dataclass(frozen=True, repr=False)
class Card:
    """Something a person looks at.

    Attributes:
        html: Safe HTML, without the theme; classes and tags only, no style attributes and no scripts.
        text: The same for a terminal.
    """

    html: Html
    text: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", visible(redact(self.text)))  # terminals obey what they are given

    def __repr__(self) -> str:
        return self.text

    def __html__(self) -> str:
        return self.html

    def _repr_html_(self) -> str:
        from smithers_nb.present.html.theme import style_block

        return style_block() + self.html

    def _repr_mimebundle_(self, include: Collection[str] | None = None, exclude: Collection[str] | None = None) -> dict[str, str]:
        del include, exclude  # both forms are small, and IPython filters by itself
        return {"text/html": self._repr_html_(), "text/plain": self.text}


class Unsaid(Card):
    """A card that a report leaves out, together with its heading: it answers whoever asks in a notebook, and tells nothing."""

    def _repr_mimebundle_(  # type: ignore[override]  # IPython takes both
        self, include: Collection[str] | None = None, exclude: Collection[str] | None = None
    ) -> tuple[dict[str, str], dict[str, str]]:
        return super()._repr_mimebundle_(include, exclude), {REPORT_MARK: "omit"}


def h(name: str, /, *children: object, **attributes: str | bool | None) -> Html:
    """Build one element.

    Args:
        name: Tag name.
        children: `Html` is taken as it is, None and False are left out, anything else is text.
        attributes: `class_` and `aria_label` mean `class` and `aria-label`; None and False are left out.
    """
    written = "".join(_attribute(key, value) for key, value in attributes.items() if value is not None and value is not False)
    return Html(f"<{name}{written}>") if name in _VOID else Html(f"<{name}{written}>{join(children)}</{name}>")


def join(children: Iterable[object]) -> Html:
    """Put children one after another, text among them escaped."""
    return Html("".join(_child(child) for child in children if child is not None and child is not False))


def escape(value: object, limit: int = 4_000) -> Html:
    """Show a value as text within a page."""
    return Html(html.escape(shown(value, limit)))


def prose(value: object, limit: int = 4_000) -> Html:
    """Show sentences: what stands between backticks is code."""
    parts = enumerate(_CODE.split(shown(value, limit)))
    return join(h("code", part.strip("`")) if number % 2 else Html(html.escape(part)) for number, part in parts)


def table(caption: str, columns: Iterable[str], rows: Iterable[Iterable[object]], *, class_: str = "") -> Html:
    """Build a table that scrolls sideways in narrow windows and can be reached with the keyboard.

    Args:
        caption: What the table shows.
        columns: Headings.
        rows: Cells; a row may also be finished `Html` of a `tr`.
        class_: Further classes.
    """
    head = h("tr", *(h("th", column, scope="col") for column in columns))
    body = join(row if isinstance(row, Html) else h("tr", *(h("td", cell) for cell in row)) for row in rows)
    whole = h("table", h("caption", caption), h("thead", head), h("tbody", body), class_=f"snb-table {class_}".strip())
    return h("div", whole, class_="snb-scroll", tabindex="0", role="group", aria_label=caption)


def text_table(columns: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """Lay the same table out in plain text."""
    from smithers_nb.present.html.text import one_line

    lines = [[*columns], *([one_line(cell, 60) for cell in row] for row in rows)]
    widths = [max(len(line[position]) for line in lines) for position in range(len(lines[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines)


def _child(child: object) -> str:
    if isinstance(child, Html):
        return child
    return child.html if isinstance(child, Card) else escape(child)


def _attribute(key: str, value: str | bool) -> str:
    name = key.rstrip("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{escape(value)}"'
