"""The part of a long error by which the deciding rule recognised it, so that the verdict can quote it.

It is one line or sentence as it was recorded, wherever it stands: in the middle of a build log, at the end of a paragraph, among
hundreds of lines of an error stream.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from smithers_nb.diagnosis.classify.rules import Rule, rule_named
from smithers_nb.diagnosis.failure.excerpt import LIMIT, folded, telling_line

if TYPE_CHECKING:
    from smithers_nb.model.verdict import Failure

_STREAMS: Final = ("stderr", "stdout", "logTail", "responseBody")
_MAX_PARTS: Final = 4_000
_MAX_PART: Final = 1_000
_SENTENCE: Final = re.compile(r"(?<=[.;!?|])\s+")
_MARK: Final = re.compile(
    r"(?:exit\w*|status|code|return\w*|estado|c[oó]digo)\D{0,12}-?\d{1,3}\b|errno\W{1,3}-?\d+"
    r"|os error \d+|\b[45]\d\d\b|\bE[A-Z]{3,}\b|\w*Error\b"
)
"""What a rule without phrases recognises: a number or a code."""


def recognised(rule_name: str, failure: Failure) -> str:
    """Return the part of a long error that a rule recognised.

    Args:
        rule_name: Name of the rule that decided.
        failure: The failure; its details include what its program printed.

    Returns:
        The part, at most a few hundred characters; empty when the error is short enough to read whole, or no part stands out.
    """
    rule = rule_named(rule_name)
    if rule is None or not (rule.phrases or rule.patterns or rule.exits or rule.errno or rule.codes):
        return ""
    for text in _long_texts(failure):
        parts = [part for line in folded(text).splitlines() for part in _parts(line)][:_MAX_PARTS]
        if quote := _best_part(rule, parts):
            return quote
    return ""


def _long_texts(failure: Failure) -> list[str]:
    messages = [link.message for link in failure.chain]
    printed = [str(failure.details.get(key) or "") for key in _STREAMS]
    return [text for text in (*messages, *printed) if len(text) > LIMIT or text.count("\n") > 1]


def _parts(line: str) -> list[str]:
    line = line.strip()
    return [line] if len(line) <= LIMIT else [part[:_MAX_PART] for part in _SENTENCE.split(line)]


def _best_part(rule: Rule, parts: list[str]) -> str:
    plain = {part: " ".join(part.lower().split()) for part in parts if part}
    hits = [part for part, lower in plain.items() if rule.has_words_in(lower)]
    if not hits and not rule.phrases:
        hits = [part for part in plain if _MARK.search(part) and _has_sign(rule, part)]
    if not hits:
        return ""
    return telling_line("\n".join(hits)) or hits[0]


def _has_sign(rule: Rule, part: str) -> bool:
    numbers = {int(number) for number in re.findall(r"-?\b\d{1,5}\b", part)}
    return bool(numbers & (rule.exits | rule.errno | rule.status)) or any(code in part for code in rule.codes)
