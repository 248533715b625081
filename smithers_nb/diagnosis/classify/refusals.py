"""What a provider refuses for good, and what it only fails at, by the words and the status that an agent CLI wrote into its log.

Words count for more than the status: gateways send a refused plan as a server error, and a full quota as a bad request.
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
_LIMIT: Final = re.compile(
    r"limit (?:reached|will reset)|hit your .{0,20}limit|(?:usage|session|weekly|hourly|spend\w*)[ _]limit|exhausted your capacity|quota",
    re.IGNORECASE,
)
_TURNS: Final = re.compile(
    r"max(?:imum)?[ _-](?:session[ _-])?turns|turn.?limit|max_turns|max[ _]budget|budget[ _](?:exceeded|limited)", re.IGNORECASE
)
_CONTEXT: Final = re.compile(
    r"prompt is too long|context[ _](?:window|length)|maximum context|ContextWindowExceeded|ContextOverflow|conversation too long",
    re.IGNORECASE,
)
_OUTPUT: Final = re.compile(r"MessageOutputLength|output token maximum|output limit of the model", re.IGNORECASE)
_SERVER: Final = re.compile(r"5\d\d|429|408")
_OF_AN_ACCOUNT: Final = frozenset({"401", "402", "403", "404"})
_OF_THE_REQUEST: Final = frozenset({"status-400", "bad-parameter", "prompt-too-long"})
"""Rules for a request that was made wrongly; a session's is made by its CLI, whose part no workflow of anybody's has."""

HOOK: Final = "hook"
"""Code of a turn that a hook of the person's own set-up stopped."""


def is_limit(text: str, code: str) -> bool:
    """Return whether a usage limit of the account is reached."""
    return bool(_LIMIT.search(text) or _LIMIT.search(code))


def is_context(text: str, code: str) -> bool:
    """Return whether a conversation has outgrown the model."""
    return bool(_CONTEXT.search(text) or _CONTEXT.search(code))


def provider_error(text: str, code: str) -> Classification | None:
    """Classify an error that ended a turn of a session; None when its words and its code say nothing of the kind.

    Args:
        text: Its words; none at all when the network was lost.
        code: HTTP status or the CLI's own code.
    """
    return next((found for holds, found in _KINDS if holds(text, code)), None)


def of_session(found: Classification) -> Classification:
    """Return what the general rules say of an error, as it holds for a session: there is no workflow to edit and no engine to blame."""
    if found.failure_class == "smithers-bug" or found.rule in _OF_THE_REQUEST:
        return of_rule("agent-flake", "session-request", "the provider refuses the request as the CLI made it", "resume")
    return replace(found, suggestion="escalate") if found.suggestion == "edit-workflow-and-reset" else found


def of_rule(failure_class: FailureClass, rule: str, reason: str, suggestion: Suggestion) -> Classification:
    """Make a classification of a rule that is sure of its kind, but has one record only to go by."""
    return Classification(failure_class=failure_class, confidence="medium", rule=rule, reason=reason, suggestion=suggestion)


_KINDS: Final[tuple[tuple[Callable[[str, str], bool], Classification], ...]] = (
    (
        lambda _, code: code == HOOK,
        of_rule("environment", "session-hook", "a hook that is set up for the CLI stopped the agent", "fix-environment"),
    ),
    (lambda text, _: not text, of_rule("agent-flake", "session-network", "the connection to the provider was lost", "resume")),
    (is_limit, of_rule("environment", "session-limit", "a usage limit of the account is reached", "resume")),
    (
        lambda text, code: bool(_TURNS.search(text) or _TURNS.search(code)),
        of_rule("environment", "session-turns", "the limit of turns or cost that was set for it is reached", "resume"),
    ),
    (is_context, of_rule("agent-flake", "session-context", "the conversation has outgrown the context of the model", "resume")),
    (
        lambda text, code: bool(_OUTPUT.search(text) or _OUTPUT.search(code)),
        of_rule("agent-flake", "session-output", "the answer was longer than the model may write at once", "resume"),
    ),
    (
        lambda text, code: bool(_FOR_GOOD.search(text)) or code in _OF_AN_ACCOUNT,
        of_rule("environment", "session-refused", "the provider refuses the account, the plan or the model", "fix-environment"),
    ),
    (
        lambda _, code: bool(_SERVER.fullmatch(code)),
        of_rule("agent-flake", "session-provider", "the provider failed or was overloaded", "resume"),
    ),
)
"""What an error is known by, and what it is; the first that holds counts."""
