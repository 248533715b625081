"""HTML of other people, reduced to what a page may hold.

A `Fragments` object cleans one document piece by piece: only harmless tags and our own classes pass, ids are unique, headings are
in order, secrets are gone from the words, and links point at something. Scripts, styles and addresses of pictures do not pass.
"""

from __future__ import annotations

import html
import re
from typing import Final, NamedTuple

import nh3

from smithers_nb.present.html.markup import Html
from smithers_nb.present.html.text import visible
from smithers_nb.present.report.secrets import redact_pieces
from smithers_nb.redact import redact

_TAGS: Final = frozenset(
    re.findall(
        r"\w+",
        "a abbr b blockquote br caption code col colgroup dd del details dfn div dl dt em figcaption figure h1 h2 h3 h4 h5 h6 hr i img "
        "ins kbd li mark ol p pre q s samp section small span strong sub summary sup table tbody td tfoot th thead time tr u ul var "
        "svg g rect line path circle text title desc",
    )
)
_ATTRIBUTES: Final[dict[str, set[str]]] = {
    "*": {"class", "id", "role", "aria-label", "aria-hidden", "title", "tabindex"},
    "a": {"href"},
    "details": {"open"},
    "img": {"src", "alt", "width", "height"},
    "ol": {"start"},
    "td": {"colspan", "rowspan"},
    "th": {"colspan", "rowspan", "scope"},
    "time": {"datetime"},
    "svg": {"viewBox"},
    "rect": {"x", "y", "width", "height", "rx"},
    "line": {"x1", "x2", "y1", "y2"},
    "circle": {"cx", "cy", "r"},
    "path": {"d"},
    "text": {"x", "y", "text-anchor"},
}
_VALUES: Final = {
    "role": re.compile(r"img|note|status|group"),
    "src": re.compile(r"data:image/(?:png|jpeg|gif|webp);base64,[A-Za-z0-9+/=\s]*"),
    "href": re.compile(r"#[\w-]+|https?://\S+|mailto:\S+", re.IGNORECASE),
    "tabindex": re.compile(r"0"),
}
_OURS: Final = re.compile(r"snb(?:-[A-Za-z0-9_-]+)?")
_TAG: Final = re.compile(r'(<(?:[^"<>]|"[^"]*")*>)')
_HEADING: Final = re.compile(r"<(/?)h([1-6])[ >]")
_LOCAL_LINK: Final = re.compile(r'\shref="#([^"]+)"')
_LOWEST: Final = 6


class Heading(NamedTuple):
    """A heading of the notebook's own text."""

    level: int
    anchor: str
    words: str


class Fragments:
    """Cleans the pieces of one document, in the order in which they appear.

    Attributes:
        headings: Headings of the text so far.
    """

    def __init__(self) -> None:
        self.headings: list[Heading] = []
        self._ids: set[str] = set()
        self._level = 1

    def output(self, markup: str) -> Html:
        """Clean HTML that some cell displayed."""
        return self._finished(markup, listed=False)

    def text(self, markup: str) -> Html:
        """Clean HTML that was rendered from a markdown cell; its headings get into the table of contents."""
        return self._finished(markup, listed=True)

    def linked(self, piece: str) -> Html:
        """Take the target from links that lead nowhere; call it when all pieces are known."""
        known = self._ids | {heading.anchor for heading in self.headings}

        def checked(link: re.Match[str]) -> str:
            return link.group() if link.group(1) in known else ""

        return Html("".join(_LOCAL_LINK.sub(checked, token) if token.startswith("<a ") else token for token in _TAG.split(piece)))

    def _clean(self, markup: str) -> str:
        return nh3.clean(
            visible(markup),
            tags=set(_TAGS),
            clean_content_tags={"script", "style", "template", "iframe", "object", "math", "noscript"},
            attributes=_ATTRIBUTES,
            attribute_filter=self._attribute,
            url_schemes={"http", "https", "mailto", "data"},
            strip_comments=True,
        )

    def _finished(self, markup: str, *, listed: bool) -> Html:
        """Redact the words, order the headings and drop pictures that lost their address: tag by tag, never inside an attribute."""
        tokens = _TAG.split(self._clean(markup))
        redact_pieces(tokens)
        for position, token in enumerate(tokens):
            if position % 2 == 0:
                continue
            if token.startswith("<img") and " src=" not in token:
                tokens[position] = ""
            elif heading := _HEADING.match(token):
                tokens[position] = f"</h{self._level}>" if heading.group(1) else self._heading(heading, tokens, position, listed=listed)
        return Html("".join(tokens))

    def _attribute(self, tag: str, name: str, value: str) -> str | None:
        if name == "class":
            return " ".join(word for word in value.split() if _OURS.fullmatch(word)) or None
        if name == "id":
            return self._unique(value)
        allowed = _VALUES.get(name)
        if allowed is not None and not allowed.fullmatch(value):
            return None
        return value if name == "src" and tag == "img" else redact(value)

    def _unique(self, anchor: str) -> str | None:
        if not anchor.startswith("snb-") or not _OURS.fullmatch(anchor) or anchor in self._ids:
            return None
        self._ids.add(anchor)
        return anchor

    def _heading(self, opened: re.Match[str], tokens: list[str], position: int, *, listed: bool) -> str:
        """Keep the first level for the page itself, and never skip a level on the way down."""
        self._level = min(max(int(opened.group(2)), 2), self._level + 1, _LOWEST)
        if not listed:
            return f"<h{self._level}>"
        words = []
        for token in tokens[position + 1 :]:
            if token.startswith("</h"):
                break
            words += [] if token.startswith("<") else [token]
        anchor = f"part-{len(self.headings) + 1}"
        self.headings.append(Heading(self._level, anchor, " ".join(html.unescape("".join(words)).split())))
        return f'<h{self._level} id="{anchor}">'
