"""What the value beside a telling name is: how far it reaches, and whether it is a secret or only a placeholder."""

from __future__ import annotations

import re
from functools import cache
from typing import Final, NamedTuple

_RANDOM_LENGTH: Final = 16
_TOKEN_LENGTH: Final = 16
_SPOKEN_LENGTH: Final = 6
_QUOTED_LENGTH: Final = 4


class Value(NamedTuple):
    """A value in a text: its place without the quotes, and whether it has quotes."""

    start: int
    end: int
    quoted: bool


def is_placeholder(value: str) -> bool:
    """Return whether a value stands for a secret without being one: a mark, a variable, a reference to the environment."""
    return _placeholder().match(value) is not None


def looks_random(value: str) -> bool:
    """Return whether a value may be a generated one. It decides only where a name suggests a secret already."""
    return len(value) >= _RANDOM_LENGTH and _random().fullmatch(value) is not None and _worded().fullmatch(value) is None


def looks_like_code(value: str, after: str) -> bool:
    """Return whether a value without quotes is a call, an element or an attribute, as in `token = tokens[0]`."""
    return _code().match(value + after) is not None


def value_at(text: str, position: int) -> Value | None:
    """Find the value that begins at a place, or None when there is none or only a placeholder."""
    opened = _opened().match(text, position)
    if opened is None:
        if is_placeholder_at(text, position):
            return None
        plain = _plain().match(text, position)
        return Value(*plain.span(), quoted=False) if plain else None
    quote, start = opened["quote"], opened.end()
    if is_placeholder_at(text, start):
        return None
    end = _inside(quote).match(text, start).end()  # type: ignore[union-attr]  # it matches nothing as well
    if text.startswith("\n", end) and (wrapped := _wrapped(quote).match(text, end)):
        end = wrapped.end()
    return Value(start, end, quoted=True) if end > start else None


def is_placeholder_at(text: str, position: int) -> bool:
    """Return whether a placeholder begins at a place; a mark with something behind it is no placeholder."""
    return _placeholder().match(text, position) is not None


def is_spoken(value: str) -> bool:
    """Return whether a value without quotes, behind a colon or between spaces, may be a secret: words of a sentence are none."""
    return len(value) >= _SPOKEN_LENGTH and any(map(str.isdigit, value))


@cache
def _placeholder() -> re.Pattern[str]:
    return re.compile(
        r"\[REDACTED|<[A-Za-z]|\$[A-Z_{(]|\.\.\.|…|\*{3}|%[A-Z_]+%|%\(|\{\{|(?:process|import\.meta)\.env|os\.(?:environ|getenv)|getenv"
        r"|(?:self|this|args|settings|config|secrets|var|local)\.[A-Za-z_]|(?:null|None|undefined|true|false|True|False)\b"
    )


@cache
def _opened() -> re.Pattern[str]:
    return re.compile(r"[bBrRfFuU@$]{0,2}(?P<quote>\"\"\"|'''|[\"'`])")


@cache
def _inside(quote: str) -> re.Pattern[str]:
    if len(quote) > 1:
        return re.compile(rf"(?:(?!{quote}).)*+", re.DOTALL)
    return re.compile(rf"(?:[^{quote}\\\n]|\\.)*+")


@cache
def _wrapped(quote: str) -> re.Pattern[str]:
    return re.compile(rf"\n[ \t]{{0,16}}[\w+/=.~-]{{1,200}}(?={quote[0]})")


@cache
def _plain() -> re.Pattern[str]:
    # a separator belongs to the value unless another name follows it, and a quote when the word goes on
    return re.compile(
        r"(?:[^\s\"'`<>&;,)\]}|\\]|\\(?![nrt\"'\\/bfu])|[&;,)\]}|](?=[^\s\"'`<>&;,)\]}|\\])(?! ?[\w.-]{1,40}[=:])(?! ?\w+ \w+=)"
        r"|[\"'`](?=[A-Za-z0-9!@#$%^*]))++"
    )


@cache
def _random() -> re.Pattern[str]:
    return re.compile(r"(?=.*[0-9])(?=.*[A-Za-z])[\w+/=.~!@#$%^&*|:;-]+")


@cache
def _worded() -> re.Pattern[str]:
    """Words with numbers, such as `item-42`, `2026-11-28` and `my-k8s-secret`."""
    return re.compile(r"(?:(?:[A-Z]?[a-z]+|[A-Z]+)?(?:[0-9]{1,4}|[a-z0-9]{1,3})?(?:[-_./:@#]+|\Z))+")


@cache
def _code() -> re.Pattern[str]:
    return re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*(?:\[[^\]\s]|\(|\.[A-Za-z_]+\Z)")
