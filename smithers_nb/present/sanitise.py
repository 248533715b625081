"""HTML of other people, reduced to what a page may hold.

A `Fragments` object cleans one document piece by piece: only harmless tags and our own classes pass, ids are unique, headings are
in order, secrets are gone from the words, and links point at something. Scripts, styles and addresses of pictures do not pass.
"""

from __future__ import annotations

import html
import re
from typing import Final, NamedTuple

import nh3

from smithers_nb.present.markup import Html
from smithers_nb.present.text import visible
from smithers_nb.redact import redact

_TAGS: Final = frozenset(
    "a abbr b blockquote br caption code col colgroup dd del details dfn div dl dt em figcaption figure h1 h2 h3 h4 h5 h6 hr i img ins kbd li mark "
    "ol p pre q s samp section small span strong sub summary sup table tbody td tfoot th thead time tr u ul var "
    "svg g rect line path circle text title desc".split()
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
_ROLES: Final = frozenset({"img", "region", "note", "status", "group"})
_PICTURE: Final = re.compile(r"data:image/(?:png|jpeg|gif|webp);base64,[A-Za-z0-9+/=\s]*")
_LINK: Final = re.compile(r"#[\w-]+|https?://[^\s]+|mailto:[^\s]+", re.IGNORECASE)
_OURS: Final = re.compile(r"snb(?:-[A-Za-z0-9_-]+)?")
_WORDS: Final = re.compile(r">([^<]+)<")
_HEADING: Final = re.compile(r"<h([1-6])((?:\s[^>]*)?)>(.*?)</h\1>", re.DOTALL)
_ID: Final = re.compile(r'\sid="([^"]*)"')
_LOCAL_LINK: Final = re.compile(r'\shref="#([^"]+)"')
_NO_PICTURE: Final = re.compile(r"<img(?![^>]*\ssrc=)[^>]*>")
_MARKUP: Final = re.compile(r"<[^>]*>")
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
        return self._ordered(self._clean(markup), listed=False)

    def text(self, markup: str) -> Html:
        """Clean HTML that was rendered from a markdown cell; its headings get into the table of contents."""
        return self._ordered(self._clean(markup), listed=True)

    def linked(self, piece: str) -> Html:
        """Take the target from links that lead nowhere; call it when all pieces are known."""
        known = self._ids | {heading.anchor for heading in self.headings}
        return Html(_LOCAL_LINK.sub(lambda match: match.group() if match.group(1) in known else "", piece))

    def _clean(self, markup: str) -> str:
        cleaned = nh3.clean(
            visible(markup),
            tags=set(_TAGS),
            clean_content_tags={"script", "style", "template", "iframe", "object", "math", "noscript"},
            attributes=_ATTRIBUTES,
            attribute_filter=self._attribute,
            url_schemes={"http", "https", "mailto", "data"},
            strip_comments=True,
        )
        cleaned = _NO_PICTURE.sub("", cleaned)
        return _WORDS.sub(lambda match: f">{_redacted(match.group(1))}<", f">{cleaned}<")[1:-1]

    def _attribute(self, tag: str, name: str, value: str) -> str | None:
        if name == "class":
            return " ".join(word for word in value.split() if _OURS.fullmatch(word)) or None
        if name == "id":
            return self._unique(value)
        if name == "href":
            return redact(value) if _LINK.fullmatch(value) else None
        if name == "alt":
            return redact(value) or "picture"
        if name == "src":
            return value if tag == "img" and _PICTURE.fullmatch(value) else None
        if name == "role":
            return value if value in _ROLES else None
        if name == "tabindex":
            return value if value == "0" else None
        return redact(value)

    def _unique(self, anchor: str) -> str | None:
        if not anchor.startswith("snb-") or not _OURS.fullmatch(anchor) or anchor in self._ids:
            return None
        self._ids.add(anchor)
        return anchor

    def _ordered(self, markup: str, *, listed: bool) -> Html:
        return Html(_HEADING.sub(lambda match: self._heading(match, listed=listed), markup))

    def _heading(self, match: re.Match[str], *, listed: bool) -> str:
        """Keep one first-level heading for the page itself, and never skip a level on the way down."""
        self._level = min(max(int(match.group(1)), 2), self._level + 1, _LOWEST)
        words = " ".join(html.unescape(_MARKUP.sub("", match.group(3))).split())
        found = _ID.search(match.group(2))
        anchor = found.group(1) if found else f"part-{len(self.headings) + 1}"
        if not listed:
            return f"<h{self._level}{match.group(2)}>{match.group(3)}</h{self._level}>"
        self.headings.append(Heading(self._level, anchor, words))
        return f'<h{self._level} id="{anchor}">{match.group(3)}</h{self._level}>'


def _redacted(escaped: str) -> str:
    words = html.unescape(escaped)
    cleaned = redact(words)
    return escaped if cleaned == words else html.escape(cleaned)
