"""Errors that end a turn of an agent CLI's session: what the provider refuses for good and what it only failed at for the moment.

They are told apart by the words and the status in the CLI's log. Words count for more than the status, because gateways send a refused
plan as a server error and a full quota as a bad request.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from smithers_nb.model.verdict import Classification

if TYPE_CHECKING:
    from collections.abc import Callable

    from smithers_nb.model.vocabulary import FailureClass, Suggestion

_FOR_GOOD: Final = re.compile(
    r"not support(?:ed)? model|invalid model|unknown model|model\b.{0,60}\b(?:not found|not available|does not exist|not supported)"
    r"|token plan|credit balance|billing|invalid (?:x-)?api.?key|authenticat|unauthori[sz]ed|please run /login|oauth|not logged in"
    r"|organization has been disabled|does not have access|payment required",
    re.IGNORECASE,
)
_USAGE_LIMIT: Final = re.compile(
    r"limit (?:reached|will reset)|hit your .{0,20}limit|(?:usage|session|weekly|hourly|spend\w*)[ _]limit|exhausted your capacity|quota",
    re.IGNORECASE,
)
_TURN_LIMIT: Final = re.compile(
    r"max(?:imum)?[ _-](?:session[ _-])?turns|turn.?limit|max_turns|max[ _]budget|budget[ _](?:exceeded|limited)", re.IGNORECASE
)
_CONTEXT: Final = re.compile(
    r"prompt is too long|context[ _](?:window|length)|maximum context|ContextWindowExceeded|ContextOverflow|conversation too long",
    re.IGNORECASE,
)
_OUTPUT_LIMIT: Final = re.compile(r"MessageOutputLength|output token maximum|output limit of the model", re.IGNORECASE)
_SERVER_STATUS: Final = re.compile(r"5\d\d|429|408")
_ACCOUNT_STATUSES: Final = frozenset({"401", "402", "403", "404"})
_REQUEST_RULES: Final = frozenset({"status-400", "bad-parameter", "prompt-too-long"})
"""Rules for a malformed request; in a session the CLI makes the request, so no workflow is to blame."""

HOOK: Final = "hook"
"""Code of a turn that was stopped by a hook the person set up."""


def is_limit(text: str, code: str) -> bool:
    """Return whether an error says that a usage limit of the account is reached."""
    return bool(_USAGE_LIMIT.search(text) or _USAGE_LIMIT.search(code))


def is_context(text: str, code: str) -> bool:
    """Return whether an error says that the conversation is too long for the model."""
    return bool(_CONTEXT.search(text) or _CONTEXT.search(code))


def provider_error(text: str, code: str) -> Classification | None:
    """Return the class of an error that ended a turn of a session; None when neither its words nor its code show that.

    Args:
        text: Its message; empty when the network was lost.
        code: HTTP status or the CLI's own code.
    """
    return next((verdict for applies, verdict in _KINDS if applies(text, code)), None)


def of_session(verdict: Classification) -> Classification:
    """Return a verdict of the general rules adapted to a session, which has no workflow to edit and no engine to blame."""
    if verdict.failure_class == "smithers-bug" or verdict.rule in _REQUEST_RULES:
        return of_rule("agent-flake", "session-request", "the provider refuses the request as the CLI made it", "resume")
    return replace(verdict, suggestion="escalate") if verdict.suggestion == "edit-workflow-and-reset" else verdict


def of_rule(failure_class: FailureClass, rule: str, reason: str, suggestion: Suggestion) -> Classification:
    """Return a classification of medium confidence: the rule is unambiguous, but rests on a single record."""
    return Classification(failure_class=failure_class, confidence="medium", rule=rule, reason=reason, suggestion=suggestion)


_KINDS: Final[tuple[tuple[Callable[[str, str], bool], Classification], ...]] = (
    (
        lambda _, code: code == HOOK,
        of_rule("environment", "session-hook", "a hook that is set up for the CLI stopped the agent", "fix-environment"),
    ),
    (lambda text, _: not text, of_rule("agent-flake", "session-network", "the connection to the provider was lost", "resume")),
    (is_limit, of_rule("environment", "session-limit", "a usage limit of the account is reached", "resume")),
    (
        lambda text, code: bool(_TURN_LIMIT.search(text) or _TURN_LIMIT.search(code)),
        of_rule("environment", "session-turns", "the limit of turns or cost that was set for it is reached", "resume"),
    ),
    (is_context, of_rule("agent-flake", "session-context", "the conversation has outgrown the context of the model", "resume")),
    (
        lambda text, code: bool(_OUTPUT_LIMIT.search(text) or _OUTPUT_LIMIT.search(code)),
        of_rule("agent-flake", "session-output", "the answer was longer than the model may write at once", "resume"),
    ),
    (
        lambda text, code: bool(_FOR_GOOD.search(text)) or code in _ACCOUNT_STATUSES,
        of_rule("environment", "session-refused", "the provider refuses the account, the plan or the model", "fix-environment"),
    ),
    (
        lambda _, code: bool(_SERVER_STATUS.fullmatch(code)),
        of_rule("agent-flake", "session-provider", "the provider failed or was overloaded", "resume"),
    ),
)
"""How each kind of error is recognised, and its class; the first match counts."""
