"""Secrets in markup: in pieces between tags, in a table under or beside a name that gives them away, and in drawings.

Gets HTML that is clean otherwise, taken apart at its tags, or an SVG; takes out what a person would read as a secret on the page. Where
a secret goes on across tags, the words of that run become one piece, and the tags between them lose their words.
"""

from __future__ import annotations

import html
import re
from collections import defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from smithers_nb.redact import is_secret_name, redact, redact_value

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

_NAME: Final = re.compile(r"</?([a-zA-Z0-9]+)")
_SPAN: Final = {kind: re.compile(rf' {kind}="(\d{{1,4}})"') for kind in ("colspan", "rowspan")}
_INLINE: Final = frozenset(
    "a abbr b code del dfn em i img ins kbd mark q s samp small span strong sub sup time u var".split()  # noqa: SIM905  # as one reads it
)
_HEADING: Final = re.compile(r"<th[^<>]{0,200}>([^<]{1,64})</th>")
_MAX_NAME: Final = 64
_NUMBER: Final = re.compile(r"-?\d{1,15}(?:\.\d{1,15})?")
_PAIR: Final = 2


def redact_pieces(pieces: list[str]) -> None:
    """Redact the words of a page in place.

    Args:
        pieces: Escaped text at even positions, tags at odd ones; every element is closed.
    """
    _redact_tables(pieces)
    _redact_terms(pieces)
    run: list[int] = []
    for position, piece in enumerate(pieces):
        if position % 2 == 0:
            run.append(position)
        elif _tag(piece) not in _INLINE:
            _redact_run(pieces, run)
            run = []
    _redact_run(pieces, run)


def has_telling_heading(markup: str) -> bool:
    """Return whether a table that is too long to be read has a heading that names a secret."""
    return any(_is_telling(html.unescape(name).strip()) for name in _HEADING.findall(markup))


def redacted_columns(trace: Mapping[str, Any]) -> dict[str, Any]:
    """Redact the columns of a table that plotly draws."""
    names, columns = ((trace.get(part) or {}).get("values") for part in ("header", "cells"))
    if not (isinstance(names, list) and isinstance(columns, list)):
        return dict(trace)
    cleaned = [
        [redact_value({str(name): value})[str(name)] for value in column] if isinstance(column, list) else column
        for name, column in zip(names, columns, strict=False)
    ]
    return {**trace, "cells": {**trace["cells"], "values": cleaned}}


def redacted_svg(markup: str) -> str | None:
    """Return a drawing without secrets in its words, unchanged when there are none.

    Returns:
        None when it cannot be read, or a secret is drawn so that it cannot be taken out: matplotlib says in a comment what it then draws
        as outlines.
    """
    from xml.etree.ElementTree import Comment, ParseError, TreeBuilder, tostring

    from defusedxml import DefusedXmlException  # type: ignore[import-untyped]  # it ships no types
    from defusedxml.ElementTree import DefusedXMLParser  # type: ignore[import-untyped]

    try:
        parser = DefusedXMLParser(target=TreeBuilder(insert_comments=True), forbid_dtd=False)
        parser.feed(markup)
        root: Element = parser.close()
    except (ParseError, DefusedXmlException, ValueError):
        return None
    changed = False
    before = ""
    for element in root.iter():
        if cast("object", element.tag) is Comment:
            if redact(element.text or "") != (element.text or ""):
                return None
            continue
        changed |= _redact_attributes(element)
        if _local(element) in {"text", "title", "desc"}:
            words = "".join(element.itertext())
            changed |= _redact_words(element, words, before)
            before = words
        else:
            changed |= _redact_own_text(element)
    if not changed and redact(markup) == markup:
        return markup
    written = tostring(root, encoding="unicode")
    return written if redact(written) == written else None


class _Cell(NamedTuple):
    columns: range
    is_heading: bool
    texts: list[int]


class _Table:
    """The rows of one table so far."""

    def __init__(self) -> None:
        self.headings: defaultdict[int, list[str]] = defaultdict(list)
        self.row: list[_Cell] = []
        self.cell: list[int] | None = None
        self._is_frame = False
        self._rows = 0
        self._reaching_down: dict[int, int] = {}

    def begin_cell(self, tag: str) -> None:
        """Place a cell behind what the row has already, and what reaches down from rows above."""
        start = self.row[-1].columns.stop if self.row else 0
        while self._reaching_down.get(start, 0):
            start += 1
        width, height = (int(found[1]) if (found := _SPAN[kind].search(tag)) else 1 for kind in ("colspan", "rowspan"))
        columns = range(start, start + max(1, width))
        self.cell = []
        self.row.append(_Cell(columns, tag.startswith("<th"), self.cell))
        for column in columns:
            self._reaching_down[column] = max(1, height)

    def end_row(self, pieces: list[str]) -> None:
        """Redact a row of values, or remember a row of headings."""
        row, self.row = self.row, []
        words = [_words(pieces, cell.texts) for cell in row]
        self._reaching_down = {column: left - 1 for column, left in self._reaching_down.items() if left > 1}
        self._rows += 1
        is_heading = all(cell.is_heading for cell in row)
        self._is_frame |= is_heading
        if is_heading or (self._rows == 1 and len(row) > _PAIR):
            for cell, heading in zip(row, words, strict=True):
                for column in cell.columns if _is_telling(heading) else ():
                    self.headings[column].append(heading)
            return
        names = [word for cell, word in zip(row, words, strict=True) if cell.is_heading or (cell is row[0] and len(row) == _PAIR)]
        for cell, value in zip(row, words, strict=True):
            above = [name for column in cell.columns for name in self.headings.get(column, ())]
            beside = [] if cell is row[0] or cell.is_heading else [name for name in names if _is_telling(name)]
            if self._is_frame and row[0].is_heading:  # the rows of a frame have names, those of a table that explains words have none
                above, beside = [*above, *beside], []
            _write(pieces, cell.texts, value, _judged(value, above, beside))


def _redact_tables(pieces: list[str]) -> None:
    tables: list[_Table] = []
    for position, piece in enumerate(pieces):
        table = tables[-1] if tables else None
        if position % 2 == 0:
            if table and table.cell is not None:
                table.cell.append(position)
            continue
        match _tag(piece), piece.startswith("</"), table:
            case "table", False, _:
                tables.append(_Table())
            case "table", True, _Table():
                tables.pop()
            case "td" | "th", False, _Table() as inside:
                inside.begin_cell(piece)
            case "td" | "th", True, _Table() as inside:
                inside.cell = None
            case "tr", True, _Table() as inside if inside.row:
                inside.end_row(pieces)


def _redact_terms(pieces: list[str]) -> None:
    """Redact what a list of terms says of one that names a secret."""
    term = ""
    texts: list[int] = []
    for position, piece in enumerate(pieces):
        if position % 2 == 0:
            texts.append(position)
        elif _tag(piece) in {"dt", "dd"}:
            said = _words(pieces, texts) if piece.startswith("</") else ""
            if piece == "</dd>":
                _write(pieces, texts, said, _judged(said, [], [term]))
            term = said if piece == "</dt>" else term
            texts = []


def _judged(value: str, above: list[str], beside: list[str]) -> str:
    """Redact a value by the names of its column, as data; by the name beside it as what people write, which may be a sentence."""
    if not value:
        return value
    for name in above:
        data = float(value) if _NUMBER.fullmatch(value) else value
        if redact_value({name: data}) != {name: data}:
            return str(redact_value({name: data})[name])
    for name in beside:
        said = redact(f"{name}: {value}") if _is_telling(name) else ""
        if said and said != f"{name}: {value}":
            return said.removeprefix(f"{name}: ")
    return value


def _is_telling(name: str) -> bool:
    return 0 < len(name) <= _MAX_NAME and is_secret_name(name)


def _redact_run(pieces: list[str], run: list[int]) -> None:
    """Redact words that are read as one; each piece by itself where that does it."""
    texts = [html.unescape(pieces[position]) for position in run]
    whole = "".join(texts)
    cleaned = redact(whole)
    if cleaned == whole:
        return
    alone = [redact(text) for text in texts]
    if "".join(alone) != cleaned:
        alone = [cleaned, *("" for _ in run[1:])]
    for position, before, after in zip(run, texts, alone, strict=True):
        if before != after:
            pieces[position] = html.escape(after)


def _write(pieces: list[str], texts: list[int], before: str, after: str) -> None:
    if before != after:
        for position in texts:
            pieces[position] = ""
        pieces[texts[0]] = html.escape(after)


def _words(pieces: list[str], texts: list[int]) -> str:
    return " ".join(html.unescape("".join(pieces[position] for position in texts)).split())


def _tag(piece: str) -> str:
    found = _NAME.match(piece)
    return found[1].lower() if found else ""


def _local(element: Element) -> str:
    return str(element.tag).rpartition("}")[2]


def _redact_attributes(element: Element) -> bool:
    cleaned = {name: redact(value) for name, value in element.attrib.items()}
    changed = cleaned != element.attrib
    element.attrib.update(cleaned)
    return changed


def _redact_own_text(element: Element) -> bool:
    before = element.text, element.tail
    element.text, element.tail = (redact(text) if text else text for text in before)
    return (element.text, element.tail) != before


def _redact_words(element: Element, words: str, before: str) -> bool:
    """Redact what one element of text says, or what the one before it names."""
    cleaned = redact(words)
    if cleaned == words and _is_telling(before.strip()):
        cleaned = _judged(words, [], [before.strip()])
    if cleaned == words:
        return False
    for child in element.iter():
        child.text, child.tail = "", "" if child is not element else child.tail
    element.text = cleaned
    return True
