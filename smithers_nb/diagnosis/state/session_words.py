"""The sentences about a session: how it ended, what else went wrong on the way, what the log leaves in doubt.

Gets what the source says of a session, see `sources.sessions.rows`. A person's stop and a denial are told as what they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from smithers_nb.diagnosis.failure.excerpt import telling
from smithers_nb.model.timestamps import duration
from smithers_nb.redact import redact

if TYPE_CHECKING:
    from smithers_nb.model.verdict import Classification

_CAUSE: Final = 140
_NAME: Final = 40
_MAX_LINES: Final = 4
_AFTER: Final = {
    "session-limit": "; it can be resumed once the limit resets or is raised",
    "session-turns": "; it can be resumed with a higher limit",
    "session-context": "; it has to be compacted, or begun anew",
}
"""Rule to what comes next, where its suggestion says too little."""

_CLAIM: Final = re.compile(
    r"\b(?:tests? (?:now |all )?pass|all (?:the )?tests|all green|done|fixed|implemented|completed?|works|working|resolved|verified"
    r"|ready)\b",
    re.IGNORECASE,
)
"""Words of an answer that claim that the work is done; a claim without a test run is told as that, and is no fault."""


def session_words(
    told: dict[str, Any], deciding: dict[str, Any] | None, troubles: Sequence[dict[str, Any]], found: Classification | None = None
) -> str:
    """Put a session into words.

    Args:
        told: What its log says.
        deciding: The trouble that gives it its class, if any.
        troubles: What went wrong in it, in the order of the file.
        found: Whose fault the deciding one is.
    """
    end = told["end"]
    words = (
        _first(end, deciding, found),
        *_middle(end, deciding, troubles),
        *_steps(told),
        *_loops(told),
        *_subagents(told),
        *_claim(told, end),
        *_left(told, end),
        *_doubts(told),
    )
    return " ".join(word for word in words if word)


def _first(end: dict[str, Any], deciding: dict[str, Any] | None, found: Classification | None) -> str:
    """Summarise in one sentence how it ended, which line shows it, whose fault it is and what comes next."""
    line, reason = f"line {end['line']}", end["reason"]
    if end["state"] == "failed":
        error = _of_error(end.get("text"), end.get("code"))
        return f"The last turn failed{_because(found)}: {error} ({line}){_next_step(found)}."
    if reason == "retrying":
        tries = f"retry {deciding['count']}{_of(deciding)}" if deciding else "a retry"
        error = _of_error(end.get("text"), end.get("code"))
        return f"The log ends while the CLI waited for {tries}{_because(found)}: {error} ({line}){_next_step(found)}."
    if end["state"] == "finished":
        return f"It finished: the last turn was answered ({line}).{_on_the_way(deciding)}"
    return {
        "person": f"A person interrupted the last turn ({line}), which is no fault; it can be resumed.",
        "refused": f"A person refused the last call ({line}), which is no fault; it can be resumed with what is to be done instead.",
        "exit": f"A person left the session before the last turn was answered ({line}).",
        "asks": f"It waits for a person: {end.get('code') or 'the agent'} asked something, and no answer is recorded ({line}).",
        "open-call": f"The log ends in a call of {end.get('code') or 'a tool'} without a result ({line}): it may still run, wait for a "
        "permission, or have been killed; the log cannot say which.",
        "after-result": f"The log ends after a tool's result, before the agent went on ({line}).",
        "no-answer": f"The log ends before the agent answered the last prompt ({line}).",
        "no-end": f"The log ends in the middle of a turn ({line}).",
        "silent": f"The log ends in an answer that is empty: no word, no call, no error ({line}).",
        "killed": f"The CLI was ended in a call of {end.get('code') or 'a tool'} ({line}) and resumed, without going on since.",
    }.get(reason, "Nothing was asked in it.") + (f" {_sentence(deciding)}" if deciding else "")


def _because(found: Classification | None) -> str:
    return f", because {found.reason}" if found and found.failure_class != "unknown" else ""


def _next_step(found: Classification | None) -> str:
    """Say in some words what to do after a failed turn; nothing where that is not known."""
    if found is None:
        return ""
    if found.rule in _AFTER:
        return _AFTER[found.rule]
    steps = {"fix-environment": "; correct that, then resume it", "resume": "; it can be resumed", "retry": "; it can be resumed"}
    return steps.get(found.suggestion, "")


def _on_the_way(deciding: dict[str, Any] | None) -> str:
    return f" On the way {_clause(deciding)}, after which the work went on." if deciding else ""


def _middle(end: dict[str, Any], deciding: dict[str, Any] | None, troubles: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Describe what else went wrong on the way, each kind once."""
    rest = [one for one in troubles if one is not deciding and one["line"] != end["line"]]
    turns = [one for one in rest if one["kind"] == "error"]
    if turns:
        yield f"Other turns that failed before: {_lines(turns)} ({_of_error(turns[-1].get('text'), turns[-1].get('code'))})."
    recovered = [one for one in rest if one["kind"] == "retry" and one.get("recovered")]
    if recovered:
        count = sum(int(one.get("count") or 1) for one in recovered)
        yield f"Recovered by itself: {count} {'retry' if count == 1 else 'retries'} of provider errors ({_lines(recovered)})."
    for kind, words in (
        ("permission", "Denied by a permission rule"),
        ("missing", "Not found"),
        ("subagent", "Subagents that delivered nothing"),
        ("mcp", "MCP errors"),
        ("silent", "Turns that ended without a word or an error"),
        ("killed", "Ended and resumed"),
        ("claim", "The person said that a reported fix did not work"),
        ("person", "Interrupted by a person"),
        ("refused", "Refused by a person"),
    ):
        if same := [one for one in rest if one["kind"] == kind]:
            yield f"{words}: {_lines(same)}."

    if beside := [one for one in rest if one["kind"] == "consequence"]:
        count = sum(int(one.get("count") or 1) for one in beside)
        calls = "call" if count == 1 else "calls"
        yield f"{count} {calls} failed only because another call of the same message did ({_lines(beside)})."


def _steps(told: dict[str, Any]) -> Iterator[str]:
    """Say where a person had to step in for the work to go on."""
    if again := told.get("askedAgain"):
        yield f"A person had to ask again after a turn that failed: {_numbers(again)}."


def _loops(told: dict[str, Any]) -> Iterator[str]:
    """Describe what was tried again and again."""
    for loop in told.get("loops") or ():
        call = telling(redact(str(loop["call"])), _CAUSE)
        yield f"Failed {loop['count']} times in a row (lines {loop['line']} to {loop['last']}){_cost(loop)}: {call}."


def _cost(loop: dict[str, Any]) -> str:
    """Say what going in circles cost: the time from the first of the calls to the last failure, and the tokens of the messages."""
    parts = [duration(loop["ms"] / 1000)] if loop.get("ms") else []
    parts += [f"at least {loop['tokens']:,} tokens"] if loop.get("tokens") else []
    return f", which took {' and '.join(parts)}" if parts else ""


def _subagents(told: dict[str, Any]) -> Iterator[str]:
    """Say how many subagents brought something back."""
    if found := told.get("subagents"):
        called = found["called"]
        yield f"{found['delivered']} of {called} subagents delivered a result."


def _left(told: dict[str, Any], end: dict[str, Any]) -> Iterator[str]:
    """Say what was left behind: after a stop the changed files, and always what still may run in the background."""
    changed, running = told.get("changed") or [], told.get("running") or []
    if changed and end["state"] != "finished":
        names = [f"{telling(redact(str(one['file'])), _CAUSE)} (line {one['line']})" for one in changed]
        yield f"Left behind, changed since the last commit in the log: {_some(names)}."
    if told.get("half"):
        yield f"The log does not say whether its last change of a file was written (line {end['line']})."
    if running:
        names = [f"{telling(redact(str(one['command'])), _CAUSE)} (line {one['line']})" for one in running]
        yield f"Started in the background, with no end in the log: {_some(names)}."


def _claim(told: dict[str, Any], end: dict[str, Any]) -> Iterator[str]:
    """Say what the log has to back the claim that the work is done: the last test run, how it ended, and what was changed after it."""
    edits, test = told.get("edits") or [], told.get("test")
    if end["state"] != "finished" or not edits or not _CLAIM.search(str(end.get("text") or "")):
        return
    claim = f"The last answer says that the work is done (line {end['line']})"
    if test is None:
        yield f"{claim}; the log has changes of files ({_numbers(edits)}) and no test run."
        return
    code = f" with exit code {test['code']}" if test.get("code") not in {None, "", "0"} else ""
    outcome = {"passed": "passed", "failed": f"failed{code}", "open": "has no result"}.get(
        test["outcome"], "does not show its own exit code"
    )
    after = test.get("edits") or []
    changed = f", and files were changed after it ({_numbers(after)})" if after else ", after the last change of a file"
    yield f"{claim}; the last test run (line {test['line']}) {outcome}{changed}."


def _doubts(told: dict[str, Any]) -> Iterator[str]:
    """Describe what the log itself leaves in doubt."""
    if told.get("document"):
        yield "Its records are counted as messages, from 0: line 3 is `.messages[3]`."
    if stops := told.get("stops"):
        yield (
            f"The file holds {len(told.get('ids') or ()) or 'several'} sessions, of which the newest with a recorded end is told; "
            f"the one that begins at line {stops['from']} has none: {_stop(stops)}."
        )
    elif told.get("ids"):
        yield f"The file holds {len(told['ids'])} session ids; it is read as one, and its last turn decides."
    if told.get("tornTail"):
        yield f"Its last line is torn (line {told['torn'][-1] if told.get('torn') else told.get('lines')}): it was being written."
    elif told.get("torn"):
        torn = told["torn"]
        yield f"Not valid JSON, and so left out: {_numbers(torn)}."
    if unknown := told.get("unknown"):
        names = [f"`{telling(redact(str(name)), _NAME)}`" for name in unknown]
        yield f"Records of types that are not known to this version were left out: {sum(unknown.values())} ({_some(names)})."
    if told.get("rolledBack"):
        yield f"{told['rolledBack']} of its {told['turns']} turns were rolled back and do not count."


def _stop(stops: dict[str, Any]) -> str:
    inside = f" in a call of {stops.get('code') or 'a tool'}" if stops["reason"] == "open-call" else ""
    return f"the log stops{inside} (line {stops['line']})"


def _clause(trouble: dict[str, Any]) -> str:
    """Describe what went wrong, as a part of a sentence."""
    where = f"(line {trouble['line']})"
    words = telling(redact(str(trouble.get("text") or "")), _CAUSE).rstrip(".")
    return {
        "error": f"a turn failed with {_of_error(trouble.get('text'), trouble.get('code'))} {where}",
        "retry": f"the provider could not be reached: {_of_error(trouble.get('text'), trouble.get('code'))} {where}",
        "claim": f"the agent reported a fix (line {trouble.get('count')}) that the person found not to work {where}",
        "permission": f"{_who_denied(trouble)}: {words} {where}",
        "missing": f"`{trouble.get('name')}` was called, which is not there{' under that name' if trouble.get('own') else ''} {where}",
        "mcp": f"an MCP server failed: {words} {where}",
        "subagent": f"a subagent {'failed' if trouble.get('code') == 'failed' else 'that is marked as completed delivered nothing'}: "
        f"{words} {where}",
        "environment": f"a command could not run on this machine: {words} {where}{_stopped(trouble)}",
    }.get(trouble["kind"], f"{words} {where}")


def _who_denied(trouble: dict[str, Any]) -> str:
    """Name who denied: where the CLI could ask nobody, a permission is denied without a rule."""
    unasked = "auto-denied" in str(trouble.get("text"))
    return "a call was denied, because nobody could be asked" if unasked else "a permission rule or a hook denied a call"


def _stopped(trouble: dict[str, Any]) -> str:
    return ", and a person interrupted the turn later" if trouble.get("stopped") else ""


def _sentence(trouble: dict[str, Any]) -> str:
    clause = _clause(trouble)
    return f"Before that, {clause}."


def _of_error(text: object, code: object) -> str:
    words = telling(redact(str(text or "")), _CAUSE).rstrip(".")
    status = str(code or "")
    if not words:
        return f"an error without words{f' (status {status})' if status else ', as when the network is lost'}"
    return words if not status or status in words else f"{words} ({status})"


def _of(trouble: dict[str, Any]) -> str:
    return f" of {trouble['limit']}" if trouble.get("limit") else ""


def _lines(troubles: Sequence[dict[str, Any]]) -> str:
    return _numbers([one["line"] for one in troubles])


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MAX_LINES} more" if len(names) > _MAX_LINES else ""
    return f"{', '.join(names[:_MAX_LINES])}{more}"


def _numbers(lines: Sequence[int]) -> str:
    numbers = [str(line) for line in lines]
    more = f" and {len(numbers) - _MAX_LINES} more" if len(numbers) > _MAX_LINES else ""
    return f"line{'s' if len(numbers) > 1 else ''} {', '.join(numbers[:_MAX_LINES])}{more}"
