"""Secrets that are the value of a name: `password=…`, `"apiKey": "…"`, `<token>…</token>`, `--secret …`, headers.

A name is looked for, judged (`names`), and only then the text behind it is read (`values`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Final, NamedTuple

from smithers_nb.redact.names import NAME_WORDS, Grade, grade, is_password_name
from smithers_nb.redact.values import Value, Values, is_placeholder_at, is_spoken, looks_like_code, looks_random

Span = tuple[int, int]

_IDENTIFIER: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-."
_BEHIND_NAMES: Final = frozenset("\"'`]=: \t\r\n,>?<(")
_HEADERS: Final = ("auth", "cookie")
_DOUBT: Final = ("unexpected", "invalid", "expected", "missing", "illegal", "unknown", "bad", "wrong", "empty", "incorrect")
_SHORT: Final = 3
_MAX_NAME: Final = 64
_BEFORE: Final = 2 * _MAX_NAME
_JOINT: Final = 400
_BEHIND: Final = 520
"""So much before and behind a name decides together with its value; what stands between the two is shorter than `_JOINT`."""
_REMEMBERED: Final = 2_000
"""So many surroundings of names are kept with what came of them: hostile text, and long logs, repeat themselves."""
_FEW_DIGITS: Final = re.compile(r"[\d.,_]{1,9}[kKmM]?")


class _Name(NamedTuple):
    """A name that speaks of a secret, and where it stands."""

    begin: int
    end: int
    name: str
    grade: Grade


def assignments(text: str, lowered: str) -> Iterator[Span]:
    """Find the secrets that have a telling name; `lowered` is the text in lower case."""
    if not any(word in lowered for word in NAME_WORDS):
        return
    values = Values(text)
    judged: dict[str, tuple[int, int, int]] = {}
    done = 0
    for hit in _name_words().finditer(lowered):
        begin, end = hit.span()
        if begin < done:
            continue
        done = end
        if text[end : end + 1] not in _BEHIND_NAMES:
            continue
        around = text[begin - _BEFORE : end + _BEHIND] if begin >= _BEFORE else ""
        known = judged.get(around)
        if known is None:
            values.seen = end + _JOINT
            span = _secret_of(values, hit)
            known = (*(span or (end, end)), span[1] if span else values.passed(end))
            if around and values.seen <= end + _BEHIND and len(judged) < _REMEMBERED:
                judged[around] = (known[0] - end, known[1] - end, known[2] - end)
        else:
            known = (known[0] + end, known[1] + end, known[2] + end)
        if known[0] < known[1]:
            yield known[:2]
        done = max(done, known[2])


def _secret_of(values: Values, hit: re.Match[str]) -> Span | None:
    """Find the secret that a name speaks of, if it does."""
    text, begin, end = values.text, *hit.span()
    if text[begin - 1 : begin] in _IDENTIFIER:  # also when the text begins here
        earlier = text[max(0, begin - _MAX_NAME) : begin]
        begin -= len(earlier) - len(earlier.rstrip(_IDENTIFIER))
    if end - begin > 2 * _MAX_NAME:
        return None
    name = text[begin:end].rstrip(".")
    judged = grade(name)
    if judged is Grade.NO or (judged is Grade.PERHAPS and _long_value().match(text, end) is None):
        return None
    return (hit["word"] in _HEADERS and _header(values, end, name)) or _named(values, _Name(begin, end, name, judged))


def _header(values: Values, end: int, name: str) -> Span | None:
    """Find the value of a header, which is the rest of the line; of `Bearer` and the like only the next word."""
    kind, text = name.lower().rpartition("-")[2], values.text
    if kind not in {"authorization", "cookie"} or end < values.barren:
        return None
    if kind == "cookie":
        match = _cookies().match(text, end)
        values.see(match.end() if match else end)
        return match.span("value") if match else None
    match = _authorization().match(text, end)
    if match is None:
        return None
    values.see(len(text) if text.startswith('"', match.end()) else match.end())  # it may have looked for the other quote
    kind = "word" if match["word"] else "rest"
    if not _digit_or_sign().search(text, *match.span(kind)):
        values.barren = match.end(kind)
        return None
    return None if is_placeholder_at(text, match.start(kind)) else match.span(kind)


def _named(values: Values, name: _Name) -> Span | None:
    """Find the value that belongs to a name, in any of the ways in which programs write that."""
    text = values.text
    sign = _sign().match(text, name.end)
    if sign is None or sign["sign"] == ",":
        apart = _element_or_option(values, name)
        if apart or sign is None or not sign["quote"]:
            return apart
    if sign["quote"] and text.startswith("{", sign.end()):
        return _told(values, name)
    if sign["sign"] != "," and (block := _block().match(text, sign.end())):
        values.see(block.end())
        found = Value(*block.span("value"), quoted=True)
        placeholder = is_placeholder_at(text, found.start)
        return None if placeholder or not _is_secret(name, found, values.written(found)) else found[:2]
    value = values.at(sign.end())
    return value[:2] if value and _belongs(values, name, sign, value) else None


def _element_or_option(values: Values, name: _Name) -> Span | None:
    """Find the value that no sign joins to its name."""
    text = values.text
    before = text[name.begin - 1 : name.begin]
    quoted = before in {'"', "'"}
    option = name.name.startswith("-") and _option().match(text, name.end)
    joint = option or (quoted and _pair().match(text, name.end)) or _listed().match(text, name.end)
    if not joint and (told := _told(values, name)):
        return told
    if not joint:
        element = _element().match(text, name.end + quoted) if quoted or before == "<" else None
        values.see(element.end() if element else name.end)
        sure = element is not None and name.grade is Grade.SURELY and not is_placeholder_at(text, element.start("value"))
        return element.span("value") if element is not None and sure else None
    value = values.at(joint.end())
    if value is None or (option and value.end - value.start <= _SHORT):
        return None
    return value[:2] if _is_secret(name, value, values.written(value)) else None


def _told(values: Values, name: _Name) -> Span | None:
    """Find the value that markup, a table, a setter, a command of a shell or a sentence gives to a name; it must look like one."""
    text, before = values.text, values.text[max(0, name.begin - 20) : name.begin]
    setter = _setter().search(name.name) is not None
    set_by_shell = _sets().search(before) is not None
    joint = _told_by(text[name.end : name.end + 1]).match(text, name.end)
    if joint is None or (joint["call"] and not setter):
        return None
    values.see(joint.end())
    value = values.at(joint.end())
    if value is None:
        return None
    written = values.written(value)
    alone = joint["space"] and _is_whole_line(text, name.begin, value)
    if joint["space"] and not (set_by_shell or (alone and is_password_name(name.name))):
        return None
    if joint["call"] or (joint["space"] and set_by_shell and name.name.isupper()) or joint["inner"]:
        return value[:2] if len(written) > _SHORT and _is_secret(name, value, written) else None
    spoken = (
        not joint["row"]
        and name.grade is Grade.SURELY
        and is_password_name(name.name)
        and is_spoken(written)
        and not looks_like_code(written, "")
    )
    return value[:2] if spoken or looks_random(written) else None


def _belongs(values: Values, name: _Name, sign: re.Match[str], value: Value) -> bool:
    """Return whether a value behind a sign is a secret; where people write sentences, more is asked of it."""
    text, written = values.text, values.written(value)
    before = text[max(0, name.begin - 20) : name.begin]
    if sign["sign"] == ",":
        return value.quoted and bool(_defines().search(before) or looks_random(written)) and _is_secret(name, value, written)
    if sign["sign"] == ":" and not sign["after"] and before.endswith(":"):  # one of many parts, as in the name of a resource
        return False
    if not sign["quote"] and before.endswith(" ") and before.rstrip(" ").lower().endswith(_DOUBT):
        name = name._replace(grade=Grade.PERHAPS)
    loose = sign["sign"] != "=" or bool(sign["before"] or sign["after"])
    if value.quoted:
        return (bool(sign["quote"]) or not loose or len(written) > _SHORT) and _is_secret(name, value, written)
    if loose and not is_spoken(written):
        alone = name.grade is Grade.SURELY and sign["sign"] == ":" and _is_whole_line(text, name.begin, value)
        return alone and not _remark().fullmatch(written)
    return not (loose and looks_like_code(written, text[value.end : value.end + 1])) and _is_secret(name, value, written)


def _is_secret(name: _Name, value: Value, written: str) -> bool:
    if name.grade is Grade.PERHAPS:
        return looks_random(written)
    if not value.quoted and len(written) < 2:  # noqa: PLR2004
        return False
    return is_password_name(name.name) or _FEW_DIGITS.fullmatch(written) is None


def _is_whole_line(text: str, begin: int, value: Value) -> bool:
    line = text[max(0, begin - 40) : begin].rpartition("\n")[2]
    return not line.strip(" \t-") and text[value.end : value.end + 1] in {"", "\n", "\r"}


@cache
def _name_words() -> re.Pattern[str]:
    return re.compile(rf"(?P<word>{'|'.join(NAME_WORDS)})[a-z0-9_.-]*+")


@cache
def _long_value() -> re.Pattern[str]:
    """What a value must be at least to look random, behind whatever stands between it and its name."""
    return re.compile(
        r"\W{1,40}+(?:(?:is|was)\W{1,4}+)?"
        r"(?:(?:[\w:-]{1,20}=[\"'][^\"'<>]{0,60}[\"'] {1,4}){0,3}(?i:value|content)\W{1,16}+)?[\w+/=.~!@#$%^&*|:;-]{12}"
    )


@cache
def _sign() -> re.Pattern[str]:
    return re.compile(
        r"(?P<quote>[\"'`]?)\]?(?P<before>[ \t]{0,16})(?P<sign>=>|:=|\?=|={1,2}|:{1,2}|,)"
        r"(?P<after>(?:(?<=[\"'`][:,])\s|(?<=[\"'`] [:,])\s|[ \t]){0,16})"
    )


@cache
def _option() -> re.Pattern[str]:
    return re.compile(
        r"(?:[ \t]{1,3}|[\"'],\s{0,4}(?=[\"']))(?![-<$])"
        r"(?!(?:options?|flags?|arguments?|parameters?|values?|is|was|to|and|or|not|must|may|in|for|with|from|as)\b)"
    )


@cache
def _element() -> re.Pattern[str]:
    return re.compile(r"(?:\s[^<>]{0,80})?>\s{0,20}(?P<value>[^<\s][^<\n]{0,4000})")


@cache
def _pair() -> re.Pattern[str]:
    """What stands between a name that is itself a value and its value: `"name": "TOKEN", "value": "…"`."""
    return re.compile(
        r"[\"'](?:(?:\s{1,4}[\w:-]{1,20}=[\"'][^\"'<>]{0,60}[\"']){0,3}(?:\s{0,4},\s{0,20}|\s{1,20})"
        r"[\"']?(?i:value|content)[\"']?\s{0,4}[:=]\s{0,4})"
    )


@cache
def _listed() -> re.Pattern[str]:
    return re.compile(r"[\"']?[ \t]{0,4}\r?\n[ \t]{0,24}value:[ \t]{1,4}")


@cache
def _block() -> re.Pattern[str]:
    """A block of YAML: the lines that are indented alike."""
    return re.compile(r"[|>][+-]?[0-9]?[+-]?[ \t]{0,8}\r?\n(?P<indent>[ \t]{1,40})(?P<value>[^\s][^\n]*(?:\n(?P=indent)[^\n]*)*+)")


@cache
def _told_by(first: str) -> re.Pattern[str]:
    """What stands between a name and its value where no sign does; only the forms that begin with the character behind the name."""
    tag = r"</?[A-Za-z][^<>]{0,80}>"
    forms = {
        "<": rf"(?:{tag}\s{{0,20}}){{1,4}}(?:[:=]\s{{0,2}}(?:{tag}\s{{0,20}}){{0,4}})?",
        "(": r"(?P<call>\()\s{0,2}(?=[\"'])",
    }
    declared = r"(?:(?:type|description|sensitive)\s{0,20}=[^\n]{0,60}\n\s{0,20}){0,3}default\s{0,20}=\s{0,4}"
    in_braces = r"[\"']\s{0,4}:\s{0,4}\{\s{0,40}[\"']value[\"']\s{0,4}:\s{0,4}"
    inner = rf"(?P<inner>[\"']\s{{1,4}}\{{\s{{1,40}}{declared}|{in_braces})"
    words = r"[ \t]{1,4}(?:->|\u2192|(?P<row>\|)|is:?|was:?)[ \t]{1,4}|(?P<space>[ \t]{1,16})(?![-<$|&])"
    form = forms.get(first, inner if first in {'"', "'"} else words)
    unused = "".join(f"(?P<{group}>(?!))?" for group in ("call", "inner", "row", "space") if f"(?P<{group}>" not in form)
    return re.compile(f"(?:{form}){unused}")


@cache
def _setter() -> re.Pattern[str]:
    return re.compile(r"(?:\A|[._a-z])(?:set|with)_?[A-Z][A-Za-z]*\Z|\A(?:set|with)")


@cache
def _sets() -> re.Pattern[str]:
    return re.compile(r"(?:\A|[\s;&=\"'>])(?:setenv|setx|set -[a-zA-Z]{1,4}) {1,4}\Z")


@cache
def _cookies() -> re.Pattern[str]:
    pair = r"[^\s=;,\"']{1,200}=[^\s;,\"']*"
    return re.compile(rf"[\"']?[ \t]{{0,4}}[:=,][ \t]{{0,4}}[\"']?(?P<value>{pair}(?:;[ ]{{0,2}}(?:{pair}|[A-Za-z]{{1,20}}\b))*+)")


@cache
def _authorization() -> re.Pattern[str]:
    return re.compile(
        r"[\"']?[ \t]{0,4}[:=][ \t]{0,4}(?:(?i:bearer|basic|token|apikey|api-key|key|negotiate|ntlm|jwt|splunk|ghost"
        r"|sso-key|bot)[ =]{1,2}(?:token=)?\"?(?P<word>[^\s\"']{4,})"
        r"|(?![\"'])(?P<rest>(?=[A-Za-z0-9-]{2,40}[ ])(?:[^\"'\n]|(?<==)\"[^\"\n]*\")+))"
    )


@cache
def _digit_or_sign() -> re.Pattern[str]:
    return re.compile(r"[0-9=]")


@cache
def _defines() -> re.Pattern[str]:
    return re.compile(r"(?i:define|setenv|putenv|set|env)\w{0,8}\( {0,2}[\"']\Z")


@cache
def _remark() -> re.Pattern[str]:
    return re.compile(
        r"(?i:\w*required\w*|missing|invalid|unknown|expired|optional|string|str|bytes|password|secret|token|yes|no|none|hidden|masked|changeme|\W+)"
    )
