"""Why a failure of a signature happened, as far as the evidence shows.

The evidence is the error's details, if they were recorded, and how long the command took. The name of a program, or what a run usually
fails on, is not evidence: without any the answer is `unknown`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from smithers_nb.diagnosis.classify.classify import classify_message

if TYPE_CHECKING:
    from collections.abc import Iterable

    from smithers_nb.sources.rundir.commands import CommandRecord
    from smithers_nb.workflows.incident.profile import Profile
    from smithers_nb.workflows.incident.profile_parts import Confidence, Limit, Rule, Subcause

UNKNOWN: Final = "unknown"


class Cause(NamedTuple):
    """A subcause and its confidence; `because` quotes the evidence, `advice` may be empty."""

    name: str
    confidence: Confidence
    because: str = ""
    advice: str = ""


def subcause_of(profile: Profile, rule: Rule, command: CommandRecord | None, details: Iterable[str]) -> Cause | None:
    """Return the first subcause that the evidence supports.

    Args:
        profile: The orchestrator.
        rule: The rule that matched.
        command: The command that failed.
        details: Texts of the error's own details.

    Returns:
        None when the profile does not distinguish causes of this signature.
    """
    if rule.subcause:
        return Cause(rule.subcause, rule.confidence, advice=rule.advice)
    known = [item for item in profile.subcauses if item.signature == rule.signature and (not item.rules or rule.id in item.rules)]
    texts = tuple(details)
    for item in known:
        quote = next((text for text in texts if _matches(item, text)), "")
        if quote:
            return Cause(item.name, item.confidence, quote, item.advice)
    if texts:  # the error gives a reason that no subcause knows; judging by duration would be a guess
        return Cause(UNKNOWN, "high", texts[0]) if known else None
    for item in known:
        if item.limit and command and (because := _hit_limit(item.limit, command)):
            return Cause(item.name, item.confidence, because, item.advice)
    return Cause(UNKNOWN, "high") if known else None


def _matches(item: Subcause, text: str) -> bool:
    if item.details and re.search(item.details, text):
        return True
    return bool(item.details_rules) and classify_message(text).rule in item.details_rules


def _hit_limit(limit: Limit, command: CommandRecord) -> str:
    """Return how the duration shows that each attempt hit the limit; empty when it does not."""
    seconds = _number(command.env.get(limit.env), limit.default)
    attempts = 1 + int(_number(command.env.get(limit.attempts_env), limit.attempts_default)) if limit.attempts_env else 1
    least = seconds * max(attempts, 1)
    if command.duration is None or seconds <= 0 or command.duration < least:
        return ""
    return f"it took {command.duration:g} s, and {attempts} attempts of {seconds:g} s each are {least:g} s ({limit.env})"


def _number(text: str | None, default: float) -> float:
    try:
        return float(text) if text else default
    except ValueError:
        return default
