"""Secrets that are known by what stands around them: a name, an address, a query, a key file, an option of a program.

Each function goes through a text once. Words that are rarely in a text are looked for first, because that is a hundred times faster
than any expression, and nothing is compiled for a text without them.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from functools import cache
from typing import Final

from smithers_nb.redact.assignments import assignments
from smithers_nb.redact.tokens import table
from smithers_nb.redact.values import is_placeholder_at, looks_random

Span = tuple[int, int]


_MAX_ADDRESS: Final = 900
_MAX_COMMAND: Final = 400
_SHORTEST_USER: Final = 16


def in_context(text: str) -> Iterator[Span]:
    """Find the secrets that their surroundings give away."""
    lowered = text.replace("\u0130", "i").lower()  # the one letter whose lower case is longer, which would shift positions
    yield from assignments(text, lowered)
    if "://" in text:
        yield from _addresses(text)
    if "PRIVATE KEY" in text:
        yield from _key_files(text)
    if "=" in text and ("?" in text or "&" in text or "#" in text):
        yield from (match.span("value") for match in _query().finditer(text) if looks_random(match["value"]))
    for hints, pattern in _HINTS:
        if any(hint in lowered for hint in hints.split("|")):
            yield from (
                match.span("value") for match in _compiled(pattern).finditer(text) if not is_placeholder_at(text, match.start("value"))
            )
    if "basic" in lowered:
        yield from (match.span("value") for match in _basic().finditer(text) if _is_pair(match["value"]))
    yield from _commands(text)


_HINTS: Final = (
    (
        "bearer",
        r"(?<![A-Za-z0-9])(?i:bearer)[ ](?!(?:tokens?|auth\w*|realm|error|errors|scheme|header|format|credentials?|is|was|required|missing"
        r"|invalid|not|and|or|of|for|with|in|to)\b)(?P<value>[\w.~+/=-]{4,})",
    ),
    ("login", r"(?i:\b(?:login|account)\s+\S{1,200}\s+password\s+)(?P<value>\S{3,})"),
    ("identified", r"(?i:\bidentified\s{1,4}(?:with\s{1,4}\S{1,40}\s{1,4})?by\s{1,4}(?:password\s{1,4})?)['\"](?P<value>[^'\"\n]{3,})"),
    ("password '", r"(?:(?i:\bwith(?: encrypted)?|\bencrypted|\buser \S{1,60}) (?i:password)|\bPASSWORD) '(?P<value>[^'\n]{3,})"),
    ("securestring", r"(?i:securestring(?: -string)?) {1,4}['\"](?P<value>[^'\"\n]{3,})"),
    ("private-lines", r"(?i:private-lines): \d{1,3}\s{1,4}(?P<value>[\w+/=\s]{40,})"),
    ("sharedaccesssignature", r"(?i:sharedaccesssignature)=(?P<value>[^\s;\"']{8,})"),
    ("jdbc:oracle|sqlplus", r"(?i:jdbc:oracle:\w{1,8}:|sqlplus {1,4}(?:-\w {1,4})?)[\w$#]{1,60}/(?P<value>[^\s/@\"']{3,})(?=@)"),
    ("sig=", r"(?<=[?&;]sig=)(?P<value>[\w%+/=-]{20,})"),
    (  # a line of .pgpass: host, port, database, user, password
        ":5432:|:5433:|:6432:|:6543:|:*:",
        r"(?<![^\s=&\"'(])[^\s:/=&\"'(]{1,255}:(?:54\d\d|64\d\d|6543|[1-6]\d{4}|\*):[^\s:]{1,64}:[^\s:]{1,64}:(?P<value>\S{4,})",
    ),
)
"""What must be in the text in lower case, one of what `|` separates, and the expression of the secret beside it."""


def _addresses(text: str) -> Iterator[Span]:
    """Find passwords, and tokens in place of a user's name, in addresses."""
    position = text.find("://")
    while position >= 0:
        match = None
        if text.find("@", position, position + _MAX_ADDRESS) >= 0:
            match = _address().match(text, position)
        if match is not None:
            if match["password"] and not match["password"].startswith("[REDACTED"):
                yield match.span("password")
            if len(match["user"]) >= _SHORTEST_USER and looks_random(match["user"]):
                yield match.span("user")
        position = text.find("://", match.end() if match else position + 3)


def _key_files(text: str) -> Iterator[Span]:
    """Find private keys from their first line to their last; one that was cut off reaches to the end."""
    position = 0
    while begin := _key_begin().search(text, position):
        end = _key_end().search(text, begin.end())
        position = end.end() if end else len(text)
        yield begin.start(), position


def _commands(text: str) -> Iterator[Span]:
    """Find passwords in the options of programs."""
    places = [place for sign in (" -", '"-', "'-") for place in (text.find(sign), text.rfind(sign)) if place >= 0]
    if not places:
        return
    first, last = max(0, min(places) - _MAX_COMMAND), max(places)
    for number, row in enumerate(table()["commands"]):
        for program in row["programs"].split():
            position = text.find(program, first, last)
            while position >= 0:
                line = _command_line().match(text, position + len(program))
                if line is None or text[position - 1 : position].isalnum() or text[position - 1 : position] in {"-", "_", "."}:
                    position = text.find(program, position + len(program), last)
                    continue
                if row.get("after", "") in line.group():
                    for match in _options(number).finditer(text, line.start(), line.end()):
                        yield match.span(match.lastgroup or 0)
                position = text.find(program, line.end(), last)


@cache
def _options(number: int) -> re.Pattern[str]:
    row = table()["commands"][number]
    word = r"(?:\"[^\"\n]+|'[^'\n]+|(?!-)[^\s\"'<$]\S*?(?=[\"']?(?:\s|,\s|\Z)|[\"'])|(?!-)[^\s\"'<$]\S{3,})"
    forms = []
    for form, pattern in (
        ("user", r"(?:[ =]{1,3}|[\"'], ?[\"'])[\"']?[^\s:\"'=/]{1,80}[:%,](?P<user>[^\s\"'/<$]{3,})"),
        ("spaced", rf"(?:[ =]{{1,3}}|[\"'], ?[\"'])(?P<spaced>(?!\d{{1,5}}(?::\d{{1,5}})?(?:\s|\Z)){word})"),
        ("joined", r"(?P<joined>(?=[^\s\"']{0,99}[^\d\s:\"'])[^\s\"'=$<-][^\s\"']{3,})"),
    ):
        forms += [re.escape(option) + pattern for option in row.get(form, "").split()]
    return re.compile(rf"(?<=[\s\"'])(?:{'|'.join(_numbered(forms))})")


def _numbered(forms: list[str]) -> list[str]:
    return [re.sub(r"\(\?P<(\w+)>", rf"(?P<\g<1>{number}>", form) for number, form in enumerate(forms)]


def _is_pair(written: str) -> bool:
    """Return whether the credentials of the scheme `Basic` are USER:PASSWORD."""
    try:
        return b":" in base64.b64decode(written + "=" * (-len(written) % 4), validate=True)
    except (binascii.Error, ValueError):
        return written.endswith("=")


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


@cache
def _address() -> re.Pattern[str]:
    return re.compile(
        r"://(?P<user>[^\s/:@\"'<>\[\]]{0,256}+)(?::(?P<password>[^\s/\"'<>]{1,512}(?=@)|(?!\d{1,5}/)[^\s\"'<>@]{1,512}(?=@))?)?@"
    )


@cache
def _key_begin() -> re.Pattern[str]:
    return re.compile(r"-{4,5} ?BEGIN (?:[A-Z0-9]{1,20} ){0,4}PRIVATE KEY(?: BLOCK)? ?-{4,5}")


@cache
def _key_end() -> re.Pattern[str]:
    return re.compile(r"-{4,5} ?END [A-Z0-9 ]{1,80}-{4,5}")


@cache
def _query() -> re.Pattern[str]:
    return re.compile(
        r"[?&#;](?:[A-Za-z0-9_.-]{0,40}[_.-])?(?i:code|key|sig|signature|sid|session|auth|jwt|hmac|ticket|assertion|credential|verifier|nonce"
        r"|\w{0,20}token|\w{0,20}secret|apikey)=(?P<value>[\w.~%+/=-]{16,})"
    )


@cache
def _basic() -> re.Pattern[str]:
    return re.compile(r"(?<![A-Za-z0-9])(?i:basic) (?P<value>[A-Za-z0-9+/]{8,}={0,2})")


@cache
def _command_line() -> re.Pattern[str]:
    return re.compile(rf"(?=[\"']?,?\s)[^\n|]{{0,{_MAX_COMMAND}}}")
