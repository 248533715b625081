"""Secrets out of any text or JSON value, before it reaches a page, a model, a log or another machine.

Gets text (`redact`) or a JSON value (`redact_value`); gives the same with every secret replaced by `[REDACTED:3f2a]`, where equal
secrets have equal tags and short ones, which could be guessed from a tag, have none. Doing it twice changes nothing.

A secret is given away by how it begins (`tokens`, a table of vendors) or by what stands around it (`context`: names, headers,
addresses, key files, options of programs). How random a text looks never decides alone. Both look at the text as it is and at what it
says below its escapes (`decode`).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from functools import cache, lru_cache
from typing import Any, Final, NamedTuple

from smithers_nb.redact.context import in_context
from smithers_nb.redact.decode import views
from smithers_nb.redact.names import NAME_WORDS, Grade, grade, is_password_name, is_secret_name
from smithers_nb.redact.tokens import tokens
from smithers_nb.redact.values import looks_random

__all__ = ["MARK", "is_secret_name", "redact", "redact_value", "short_line", "surely_clean"]

MARK: Final = "[REDACTED"
"""How every replacement of a secret begins."""

_TAGGED_LENGTH: Final = 16
_PASSES: Final = 8
_LONG: Final = 500_000
"""A longer text is looked through once: a second look costs as much and finds hardly ever anything."""
_ENCODED: Final = ("\\", "%", "&", "\x1b")
_KEY_WORDS: Final = (*NAME_WORDS, "bearer", "pat", "sas", "connection")
"""One of these is in every name of a secret."""


class _Secret(NamedTuple):
    start: int
    end: int
    text: str


def redact(text: str, *, personal: bool = False) -> str:
    """Replace every secret in a text.

    Args:
        text: Any text, also JSON, code, logs; megabytes are fine.
        personal: Replace user names in home paths and e-mail addresses as well.
    """
    for _ in range(_PASSES):  # what was glued to a secret may stand free afterwards
        before, text = text, _replaced(text)
        if text == before or len(text) > _LONG:
            break
    return _personal().sub(_personal_mark, text) if personal else text


def redact_value(value: Any, *, personal: bool = False) -> Any:
    """Replace every secret in a JSON value: in keys, in strings, and whatever lies under a key that names a secret.

    Counts of tokens and other numbers stay, unless their key speaks of a password or secret.
    """
    if isinstance(value, str):
        return redact(value, personal=personal)
    if isinstance(value, dict):
        named = next((value[key] for key in ("name", "key", "Name", "Key") if isinstance(value.get(key), str)), "")
        return {
            redact(key, personal=personal) if isinstance(key, str) else key: _entry(
                named if key in {"value", "Value"} and named else key, item, personal
            )
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [redact_value(item, personal=personal) for item in value]
    return value


def short_line(text: str | None, length: int = 160) -> str:
    """Bring text of any size onto one line of at most `length` characters, without its secrets and without rulers."""
    line = " ".join(_ruler().sub(" ", redact(text or "")).split())  # before it is cut: half a secret is not recognised any more
    return line if len(line) <= length else f"{line[: length - 1]}…"


def surely_clean(json_text: str) -> bool:
    """Return quickly whether `redact_value` would change nothing in a value of which this is the JSON; False means that it might.

    Three times faster than looking, for the many values without a secret. Text with an escape is never judged, because the value may
    hold what its JSON does not show.
    """
    if "\\" in json_text:
        return False
    lower = json_text.lower()
    return not any(word in lower for word in _KEY_WORDS) and redact(json_text) == json_text


def _entry(key: object, value: Any, personal: bool) -> Any:
    judged = grade(key) if isinstance(key, str) else Grade.NO
    if judged is Grade.NO or value is None or isinstance(value, bool):
        return redact_value(value, personal=personal)
    assert isinstance(key, str)
    if isinstance(value, str):
        hidden = judged is Grade.SURELY or looks_random(value)
        if not hidden or not value or _any_mark().fullmatch(value):
            return redact_value(value, personal=personal)
        return _mark(value)
    if isinstance(value, int | float):
        return MARK + "]" if judged is Grade.SURELY and is_password_name(key) else value
    return redact_value(value, personal=personal) if judged is Grade.PERHAPS or not value else MARK + "]"


def _replaced(text: str) -> str:
    found = [_Secret(start, end, text[start:end]) for start, end in _spans(text)]
    if any(sign in text for sign in _ENCODED):
        for view in views(text):
            found += [_Secret(*view.origin(start, end), view.text[start:end]) for start, end in _spans(view.text)]
    if not found:
        return text
    pieces: list[str] = []
    done = 0
    for secret in _apart(found):
        if not _any_mark().fullmatch(text, secret.start, secret.end):
            pieces += (text[done : secret.start], _mark(secret.text))
            done = secret.end
    return "".join((*pieces, text[done:]))


def _spans(text: str) -> Iterable[tuple[int, int]]:
    yield from tokens(text)
    yield from in_context(text)


def _apart(found: list[_Secret]) -> list[_Secret]:
    """Join what overlaps; the tag is that of the longest secret in it."""
    joined: list[_Secret] = []
    for secret in sorted(found):
        if joined and secret.start < joined[-1].end:
            last = joined[-1]
            longest = max(last, secret, key=lambda one: one.end - one.start)
            joined[-1] = _Secret(last.start, max(last.end, secret.end), longest.text)
        elif secret.end > secret.start:
            joined.append(secret)
    return joined


def _personal_mark(match: re.Match[str]) -> str:
    return match.group() if MARK in match.group() else _mark(match.group())


@cache
def _ruler() -> re.Pattern[str]:
    return re.compile(r"(?<!\S)([-=*#~_+])\1{9,}(?!\S)")


@cache
def _any_mark() -> re.Pattern[str]:
    return re.compile(r"\[REDACTED(?::[0-9a-f]{4})?\]")


@cache
def _personal() -> re.Pattern[str]:
    return re.compile(
        r"(?P<home>(?:(?<=/home/)|(?<=/Users/)|(?<=:\\Users\\)|(?<=:\\\\Users\\\\))[^/\\\s\"':]+"
        r"|(?:(?<=/-home-)|(?<=/-Users-))[^-/\\\s\"':]+)"  # how agents name the folder of a project
        # the last label is of letters, because `react@18.2.0` is a package; `git@` is nobody
        r"|(?P<mail>(?<![\w.+-])(?!git@)[\w.+-]{1,64}@(?:[\w-]{1,63}\.){1,8}[A-Za-z]{2,24}(?![\w-]))"
    )


@lru_cache(maxsize=4096)
def _mark(secret: str) -> str:
    if len(secret) < _TAGGED_LENGTH:
        return MARK + "]"
    digest = hashlib.blake2b(secret.encode("utf-8", "surrogatepass"), digest_size=2, person=b"smithers-nb").hexdigest()
    return f"{MARK}:{digest}]"
