"""What a provider refuses for good, and what it only fails at, by the words and the status that an agent CLI wrote into its log.

Words count for more than the status: gateways send a refused plan as a server error, and a full quota as a bad request.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from smithers_nb.model.verdict import Classification

if TYPE_CHECKING:
    from smithers_nb.model.vocabulary import FailureClass, Suggestion

_FOR_GOOD: Final = re.compile(
    r"not support(?:ed)? model|invalid model|unknown model|model\b.{0,60}\b(?:not found|not available|does not exist|not supported)"
    r"|token plan|credit balance|billing|invalid (?:x-)?api.?key|authenticat|unauthori[sz]ed|please run /login|oauth|not logged in"
    r"|organization has been disabled|does not have access|payment required",
    re.IGNORECASE,
)
_LIMIT: Final = re.compile(
    r"limit (?:reached|will reset)|hit your .{0,20}limit|(?:usage|session|weekly|hourly|spend\w*)[ _]limit|exhausted your capacity|quota",
    re.IGNORECASE,
)
_TURNS: Final = re.compile(r"max(?:imum)?[ _-](?:session[ _-])?turns|turn.?limit|max_turns|max_budget|budget exceeded", re.IGNORECASE)
_SERVER: Final = re.compile(r"5\d\d|429|408")
_OF_AN_ACCOUNT: Final = frozenset({"401", "402", "403", "404"})


def is_limit(text: str, code: str) -> bool:
    """Return whether a usage limit of the account is reached."""
    return bool(_LIMIT.search(text) or _LIMIT.search(code))


def provider_error(text: str, code: str) -> Classification | None:
    """Classify an error that ended a turn of a session; None when its words and its code say nothing of the kind.

    Args:
        text: Its words; none at all when the network was lost.
        code: HTTP status or the CLI's own code.
    """
    if not text:
        return of_rule("agent-flake", "session-network", "the connection to the provider was lost", "resume")
    if is_limit(text, code):
        return of_rule("environment", "session-limit", "a usage limit of the account is reached", "resume")
    if _TURNS.search(text) or _TURNS.search(code):
        return of_rule("environment", "session-turns", "the limit of turns or cost that was set for it is reached", "resume")
    if _FOR_GOOD.search(text) or code in _OF_AN_ACCOUNT:
        return of_rule("environment", "session-refused", "the provider refuses the account, the plan or the model", "fix-environment")
    if _SERVER.fullmatch(code):
        return of_rule("agent-flake", "session-provider", "the provider failed or was overloaded", "resume")
    return None


def of_rule(failure_class: FailureClass, rule: str, reason: str, suggestion: Suggestion) -> Classification:
    """Make a classification of a rule that is sure of its kind, but has one record only to go by."""
    return Classification(failure_class=failure_class, confidence="medium", rule=rule, reason=reason, suggestion=suggestion)
