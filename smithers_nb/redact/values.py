"""What the value beside a telling name is: how far it reaches, and whether it is a secret or only a placeholder."""

from __future__ import annotations

import re
from functools import cache
from typing import Final, NamedTuple

_RANDOM_LENGTH: Final = 16
_SPOKEN_LENGTH: Final = 6
_JUDGED: Final = 2_000
_MAX_NAMES: Final = 50
_NEXT: Final = 240
"""No expression looks further behind a value."""


class Value(NamedTuple):
    """A value in a text: its place without the quotes, and whether it has quotes."""

    start: int
    end: int
    quoted: bool


def looks_random(value: str) -> bool:
    """Return whether a value may be a generated one. It decides only where a name suggests a secret already."""
    return len(value) >= _RANDOM_LENGTH and _random().fullmatch(value) is not None and _worded().fullmatch(value) is None


def looks_like_code(value: str, after: str) -> bool:
    """Return whether a value without quotes is a call, an element or an attribute, as in `token = tokens[0]`."""
    return _code().match(value + after) is not None


class Values:
    """The values of one text.

    Hostile text may have thousands of names in what is one value without quotes (`key=key=key=…`). Its end is the same from wherever
    in it one looks, so it is looked for once.

    Attributes:
        text: The text.
        barren: Up to here there is no value of a header.
        seen: Up to here the text was looked at.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.barren = 0
        self.seen = 0
        self._plain = range(0)
        self._asked = 0

    def at(self, position: int) -> Value | None:
        """Find the value that begins at a place, or None when there is none or only a placeholder."""
        text = self.text
        opened = _opened().match(text, position)
        if opened is None:
            end = None if is_placeholder_at(text, position) else self._plain_end(position)
            self.see(end or position)
            return Value(position, end, quoted=False) if end else None
        quote, start = opened["quote"], opened.end()
        if is_placeholder_at(text, start):
            return None
        end = _inside(quote).match(text, start).end()  # type: ignore[union-attr]  # it matches nothing as well
        if text.startswith("\n", end) and (wrapped := _wrapped(quote).match(text, end)):
            end = wrapped.end()
        self.see(end)
        return Value(start, end, quoted=True) if end > start else None

    def see(self, end: int) -> None:
        """Note that a piece of text was read to its end, and what follows looked at."""
        self.seen = max(self.seen, end + _NEXT)

    def written(self, value: Value) -> str:
        """Return the text of a value, of a very long one as much as it takes to judge it."""
        return self.text[value.start : min(value.end, value.start + _JUDGED)]

    def passed(self, position: int) -> int:
        """Return where to go on behind a name whose value is no secret: behind the value, once it had more names than people write."""
        return self._plain.stop if position in self._plain and self._asked > _MAX_NAMES else position

    def _plain_end(self, position: int) -> int | None:
        if position in self._plain:
            self._asked += 1
        else:
            plain = _plain().match(self.text, position)
            if plain is None:
                return None
            self._plain, self._asked = range(*plain.span()), 0
        return self._plain.stop


def is_placeholder_at(text: str, position: int) -> bool:
    """Return whether a placeholder begins at a place; a mark with something behind it is no placeholder."""
    return _placeholder().match(text, position) is not None


def is_spoken(value: str) -> bool:
    """Return whether a value without quotes, behind a colon or between spaces, may be a secret: words of a sentence are none."""
    return len(value) >= _SPOKEN_LENGTH and any(map(str.isdigit, value))


@cache
def _placeholder() -> re.Pattern[str]:
    return re.compile(
        r"--[A-Za-z][\w-]{0,60}=|"  # the next option of a command, as in `--password --user=bob`
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
        r"(?:[^\s\"'`<>&;,)\]}|\\]|\\(?![nrt\"'\\/bfu])|[&;,)\]}|](?=[^\s\"'`<>&;,)\]}|\\])(?! ?[\w.-]{1,40}[=:])(?! ?\w{1,80} \w{1,80}=)"
        r"|[\"'`](?=[A-Za-z0-9!@#$%^*]))++"
    )


@cache
def _random() -> re.Pattern[str]:
    return re.compile(r"(?=.*[0-9])(?=.*[A-Za-z])[\w+/=.~!@#$%^&*|:;-]+")


@cache
def _worded() -> re.Pattern[str]:
    """Words with numbers, such as `item-42`, `2026-11-28` and `my-k8s-secret`."""
    return re.compile(r"(?:(?:[A-Z]?[a-z]+|[A-Z]+)?(?:[0-9]{1,4}|[a-z0-9]{1,3})?(?:[-_./:@#]++|\Z))++")


@cache
def _code() -> re.Pattern[str]:
    return re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*(?:\[[^\]\s]|\(|\.[A-Za-z_]+\Z)")
