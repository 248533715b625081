"""The most telling words of an error message, short enough to be read.

Gets a message as it was recorded: one line or a whole log, a Python traceback, the JSON of a schema library, a web page. Gives one
line that keeps what a reader needs (file, name, code, exception) and leaves out what every such message has.
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
_RECOGNISED: Final = 60
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
"""A line that says where, or which error of a numbered list."""

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
_SHORTEST: Final = 60
_COMMAND: Final = re.compile(r"\A(Command failed: [^\n]{40})[^\n]{20,}(?=\n\s*\S)")
"""What Node says first of a program that failed: its whole command line, which a script makes long."""

_STRONGEST, _LAST = 4, 2


def telling(message: str, limit: int = LIMIT) -> str:
    """Put an error message in one line of at most about `limit` characters."""
    text = _plain(folded(_COLOURS.sub("", message[:_MAX_LENGTH])).replace("\r", "\n"))
    text = _COMMAND.sub(r"\1…", text)
    lines = [" ".join(line.split()) for line in text.splitlines() if _letters(line)] or [text.strip()]  # a ruler tells nothing
    if exception := python_exception(text):
        return _around_traceback(lines, " ".join(exception.split()), limit)
    whole = " ".join(lines)
    if len(whole) <= limit:
        return whole
    if any(_weight(lines, at) for at in range(1, len(lines) - 1)):
        return _chosen(lines, limit)
    return abridged(whole, limit)


def quoting(message: str, quote: str, limit: int = LIMIT) -> str:
    """Put an error message in one line that has the part by which it was recognised."""
    line = telling(message, limit)
    return abridged(" ".join(folded(quote).split()), limit) if quote and _letters(quote)[:_RECOGNISED] not in _letters(line) else line


def folded(text: str) -> str:
    """Shorten runs of one character, which progress bars and rulers are made of."""
    return _RUN.sub(lambda match: f"{match[1] * 3}…", text)


def shortened(text: str, head: int = 6_000, tail: int = 2_000, middle: int = 4_000) -> str:
    """Keep the beginning and the end of a long text, and of what is between them the lines that tell most."""
    text = folded(text)
    inner = text[head : -tail if len(text) > head + tail else None]
    lines = [line[:LIMIT] for line in dict.fromkeys(inner[:_MAX_INNER].splitlines()) if _STRONG.search(line[:LIMIT])]
    return f"{text[:head]}\n{chr(10).join(lines)[:middle]}\n{text[head:][-tail:]}"


def _letters(text: str) -> str:
    return re.sub(r"[\W_]+", "", text).casefold()


def abridged(line: str, limit: int) -> str:
    """Shorten one line: advice goes first, then what comes after a whole sentence, then what comes after the limit."""
    if len(line) <= limit:
        return line
    ends = [0, *(match.end() for match in _END.finditer(line)), len(line)]
    sentences = [line[start:end].strip() for start, end in pairwise(ends)]
    told = " ".join(words for words in sentences if not _ADVICE.match(words))
    if not told or len(told) > limit:
        told = told or line
        ends = [match.end() for match in _END.finditer(told, 0, limit) if match.end() >= _SHORTEST]
        told = told[: ends[-1]] if ends else f"{told[: limit - 1]}…"
    return told.rstrip(";")


def telling_line(text: str) -> str:
    """Choose the one line of a log or an answer that tells most; empty when none does."""
    plain = _plain(folded(_COLOURS.sub("", text[:_MAX_LENGTH])))
    if exception := python_exception(plain):
        return exception
    lines = [line.strip() for line in plain.splitlines() if line.strip()]
    return _best(lines)


def _best(lines: list[str]) -> str:
    """Take the strongest line: of those that say where the first, else the last, as a log ends with what ended it."""
    weights = [_weight(lines, at, log=True) for at in range(len(lines))]
    best = max(weights, default=0)
    chosen = [line for line, weight in zip(lines, weights, strict=True) if weight == best]
    return _DECORATION.sub("", chosen[0 if best == _STRONGEST else -1]) if chosen else ""


def _plain(text: str) -> str:
    """Take the words out of what a program wrote for programs: a web page, or JSON with or without words before it."""
    if _HTML.match(text):
        titles = [words for _, words in _TITLE.findall(text)]
        return titles[0] if titles else " ".join(_TAGS.sub(" ", text).split())
    found = _JSON.search(text)
    if found is None:
        return text
    try:
        value, end = json.JSONDecoder().raw_decode(text, found.start())
    except (ValueError, RecursionError):
        return text
    words = "" if is_deep(value) else "; ".join(dict.fromkeys(_issues(value)))
    return f"{text[: found.start()]}{words}{text[end:]}" if words else text


def _issues(value: object) -> list[str]:
    if isinstance(value, list):
        return [told for one in value for told in _issues(one)]
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


def _chosen(lines: list[str], limit: int) -> str:
    """Keep the first line and those that tell most, in their order, with a mark where something is left out."""
    ranked = sorted(range(len(lines)), key=lambda at: (-_weight(lines, at), at))
    kept: list[int] = []
    room = limit
    for at in ranked:
        size = min(len(lines[at]), limit // 2) + 3
        if size <= room and _weight(lines, at) > 0:
            kept.append(at)
            room -= size
    parts: list[str] = []
    for before, at in zip([-1, *sorted(kept)], sorted(kept), strict=False):
        parts.append(("… " if at > before + 1 else "") + abridged(lines[at], limit // 2))
    return " ".join(parts) or abridged(lines[0], limit)


def _weight(lines: list[str], at: int, *, log: bool = False) -> int:
    """Return how much a line says; the first and the last of a message say something by where they stand."""
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
