"""The most telling part of an error message, short enough to read.

Takes a message as it was recorded: one line or a whole log, a Python traceback, the JSON of a schema library, a web page. Returns one
line with what a reader needs (file, name, code, exception) and without what every such message has.
"""

from __future__ import annotations

import json
import re
from itertools import pairwise
from typing import Final

from smithers_nb.diagnosis.failure.stack import python_exception
from smithers_nb.sources.stores.json_text import is_deep

LIMIT: Final = 300
_MAX_LENGTH: Final = 20_000
_MAX_COMPARED: Final = 60
"""Maximum number of letters of a quote to look for in a line."""

_MAX_INNER: Final = 200_000
_RUN: Final = re.compile(r"([^\s\d])\1{19,}")
_COLOURS: Final = re.compile(r"\x1b\[[0-9;?]*(?:[ -/]*[@-~]|$)")
_STRONG: Final = re.compile(
    r"\b(?:fatal|panic|error ?\[?[A-Z]{0,2}\d{2,5}|FAIL(?:ED)?|CONFLICT|denied|refused|rejected|[Nn]ot found|[Nn]o such"
    r"|[Cc]annot|[Cc]ould not|[Uu]nable to|[Mm]issing|timed out|[Ee]xpected|Received|[Uu]nexpected|[Ii]nvalid|[Uu]ndefined"
    r"|never ran|blocked on|can never run|Killed|ERESOLVE)\b"
    r"|^E\s+\w|^peer \S+ from|[✗✘×●]|\b\w*(?:Error|Exception)\b: ?\S"  # noqa: RUF001 - the cross that test runners print
)
_LOCATED: Final = re.compile(
    r"[\w/\\.-]+\.\w{1,5}[:(]\d+|\berror ?\[?[A-Z]{0,2}\d{2,5}|^(?:\w*Error|\w+Exception): \S|^E\s+\w|^peer \S+ from"
    r"|^Expected\b|^Received\b"
)
"""A line that names a location or a numbered error."""

_CONCLUSION: Final = re.compile(
    r"due to \d+ previous|did not complete successfully|^Found \d+ errors?|^Test Suites:|^Tests:|exit(?:ed)?(?: with)? (?:code|status)"
)
_DECORATION: Final = re.compile(r"^(?:[│╷╵|>]\s+|#\d+ (?:[\d.]+ )?|npm (?:error|ERR!)\s+)+")
_WEAK: Final = re.compile(r"error|fail", re.IGNORECASE)
_EMPTY: Final = re.compile(
    r"^(?:={3}|-{3}|_{3}|warning\b|hint:|note: |at |\^|~|\||[-=*#_.\s]+$|npm err(?:or|!)\s*$|a complete log|/\S*$|/\S+:\d+: \w*warning"
    r"|fix the upstream|this command with"
    r"|to accept|sql=|run with |to address|\.\.\.)",
    re.IGNORECASE,
)
_ADVICE: Final = re.compile(r"(?:This commonly happens|Use an? |Use z\.|Hint: |For more information|Example: |You can find )")
_JSON: Final = re.compile(r"(?:^\s*\[|\{)\s*[\[{\"]")
_HTML: Final = re.compile(r"^\s*<(?:!doctype|html|head|body|\?xml)", re.IGNORECASE)
_TITLE: Final = re.compile(r"<(title|h1)[^>]*>\s*([^<]+?)\s*</\1>", re.IGNORECASE)
_TAGS: Final = re.compile(r"<[^>]{0,500}>")
_END: Final = re.compile(r"[.!?;](?=\s+[A-Z\"'(])|;(?=\s)")
_MIN_SENTENCE: Final = 60
_COMMAND: Final = re.compile(r"\A(Command failed: [^\n]{40})[^\n]{20,}(?=\n\s*\S)")
"""How Node begins to report a program that failed: with its whole command line, which is long for a script."""

_STRONGEST, _LAST = 4, 2


def telling(message: str, limit: int = LIMIT) -> str:
    """Return an error message as one line of at most about `limit` characters."""
    text = _plain(folded(_COLOURS.sub("", message[:_MAX_LENGTH])).replace("\r", "\n"))
    text = _COMMAND.sub(r"\1…", text)
    lines = [" ".join(line.split()) for line in text.splitlines() if _letters(line)] or [text.strip()]  # a ruler says nothing
    if exception := python_exception(text):
        return _around_traceback(lines, " ".join(exception.split()), limit)
    whole = " ".join(lines)
    if len(whole) <= limit:
        return whole
    if any(_weight(lines, at) for at in range(1, len(lines) - 1)):
        return _strongest_lines(lines, limit)
    return abridged(whole, limit)


def quoting(message: str, quote: str, limit: int = LIMIT) -> str:
    """Return an error message as one line that includes the part by which it was recognised."""
    line = telling(message, limit)
    return abridged(" ".join(folded(quote).split()), limit) if quote and _letters(quote)[:_MAX_COMPARED] not in _letters(line) else line


def folded(text: str) -> str:
    """Return a text with runs of one character shortened, such as progress bars and rulers."""
    return _RUN.sub(lambda match: f"{match[1] * 3}…", text)


def shortened(text: str, head: int = 6_000, tail: int = 2_000, middle: int = 4_000) -> str:
    """Return the beginning and the end of a long text, with the most telling lines between them."""
    text = folded(text)
    inner = text[head : -tail if len(text) > head + tail else None]
    lines = [line[:LIMIT] for line in dict.fromkeys(inner[:_MAX_INNER].splitlines()) if _STRONG.search(line[:LIMIT])]
    return f"{text[:head]}\n{chr(10).join(lines)[:middle]}\n{text[head:][-tail:]}"


def _letters(text: str) -> str:
    return re.sub(r"[\W_]+", "", text).casefold()


def abridged(line: str, limit: int) -> str:
    """Return one line shortened: first without advice, then cut after a whole sentence, and at the limit as a last resort."""
    if len(line) <= limit:
        return line
    ends = [0, *(match.end() for match in _END.finditer(line)), len(line)]
    sentences = [line[start:end].strip() for start, end in pairwise(ends)]
    text = " ".join(words for words in sentences if not _ADVICE.match(words)) or line
    if len(text) > limit:
        ends = [match.end() for match in _END.finditer(text, 0, limit) if match.end() >= _MIN_SENTENCE]
        text = text[: ends[-1]] if ends else f"{text[: limit - 1]}…"
    return text.rstrip(";")


def telling_line(text: str) -> str:
    """Return the one most telling line of a log or an answer; empty when none stands out.

    A line with a location is taken from the beginning of the text and any other from the end, because a log ends with what ended it.
    """
    plain = _plain(folded(_COLOURS.sub("", text[:_MAX_LENGTH])))
    if exception := python_exception(plain):
        return exception
    lines = [line.strip() for line in plain.splitlines() if line.strip()]
    weights = [_weight(lines, at, log=True) for at in range(len(lines))]
    best = max(weights, default=0)
    strongest = [line for line, weight in zip(lines, weights, strict=True) if weight == best]
    return _DECORATION.sub("", strongest[0 if best == _STRONGEST else -1]) if strongest else ""


def _plain(text: str) -> str:
    """Return the words in a text that was written for programs: a web page, or JSON with or without words before it."""
    if _HTML.match(text):
        titles = [words for _, words in _TITLE.findall(text)]
        return titles[0] if titles else " ".join(_TAGS.sub(" ", text).split())
    document = _JSON.search(text)
    if document is None:
        return text
    try:
        value, end = json.JSONDecoder().raw_decode(text, document.start())
    except (ValueError, RecursionError):
        return text
    words = "" if is_deep(value) else "; ".join(dict.fromkeys(_issues(value)))
    return f"{text[: document.start()]}{words}{text[end:]}" if words else text


def _issues(value: object) -> list[str]:
    if isinstance(value, list):
        return [issue for item in value for issue in _issues(item)]
    if not isinstance(value, dict):
        return []
    message = value.get("message")
    if not isinstance(message, str):
        inner = value.get("error")
        return _issues(inner) if isinstance(inner, dict) else [inner] if isinstance(inner, str) else []
    path = value.get("path")
    where = ".".join(map(str, path)) if isinstance(path, list) else value.get("type") or value.get("status")
    return [f"{where}: {message}" if isinstance(where, str) and where and where not in message else message]


def _around_traceback(lines: list[str], exception: str, limit: int) -> str:
    head = next((line for line in lines if line != exception), "").partition("Traceback (most recent call last)")[0].rstrip()
    if not head or head in exception:
        return abridged(exception, limit)
    return f"{abridged(head.rstrip(':'), limit // 2)}: {abridged(exception, limit)}"


def _strongest_lines(lines: list[str], limit: int) -> str:
    """Return the first line and the most telling ones in their order, with a mark where lines are left out."""
    ranked = sorted(range(len(lines)), key=lambda at: (-_weight(lines, at), at))
    chosen: list[int] = []
    room = limit
    for at in ranked:
        size = min(len(lines[at]), limit // 2) + 3
        if size <= room and _weight(lines, at) > 0:
            chosen.append(at)
            room -= size
    parts: list[str] = []
    for before, at in zip([-1, *sorted(chosen)], sorted(chosen), strict=False):
        parts.append(("… " if at > before + 1 else "") + abridged(lines[at], limit // 2))
    return " ".join(parts) or abridged(lines[0], limit)


def _weight(lines: list[str], at: int, *, log: bool = False) -> int:
    """Return how much a line says; in a message, not a log, the first and the last line count by their position."""
    line = lines[at]
    bare = _DECORATION.sub("", line)
    weight = 0
    if _EMPTY.match(line) or _EMPTY.match(bare):
        weight = 0
    elif _CONCLUSION.search(bare):
        weight = 1
    elif _STRONG.search(bare):
        weight = _STRONGEST if _LOCATED.search(bare) else _STRONGEST - 1
    elif _WEAK.search(bare):
        weight = 1
    if log:
        return weight
    return max(weight, _STRONGEST if at == 0 else 0, _LAST if at == len(lines) - 1 and not _EMPTY.match(bare) else 0)
