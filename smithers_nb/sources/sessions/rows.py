"""Convert a session to rows of runs, nodes, attempts, events, tokens and gates: pure functions without I/O.

A turn is a node `turn:N`, starting at 1, with one attempt. An event is a record, numbered by its line. Facts that no table has a column for
are in the run's configuration under `session`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import PurePath, PureWindowsPath
from typing import TYPE_CHECKING, Any, Final

from smithers_nb.model.rows import ApprovalRow, AttemptRow, EventRow, NodeRow, RunRow, TaskRow, TokenRow
from smithers_nb.model.vocabulary import SESSION_TURN, event_category
from smithers_nb.sources.sessions.calls import EDITS
from smithers_nb.sources.sessions.marks import Mark, clean
from smithers_nb.sources.stores.json_text import dump

if TYPE_CHECKING:
    from smithers_nb.sources.files import RunFile
    from smithers_nb.sources.sessions.calls import Loop, TestRun
    from smithers_nb.sources.sessions.session import End, Session, Trouble, Turn

_MAX_LABEL: Final = 80
_MAX_TROUBLES: Final = 60
_STATES: Final = {"finished": "finished", "failed": "failed", "interrupted": "cancelled", "waiting": "in-progress", "cut": "in-progress"}
_EVENTS: Final = {
    "begin": "TurnStarted", "prompt": "PromptSent", "command": "CommandSent", "say": "AgentSaid", "reply": "AgentReplied",
    "call": "ToolCallStarted", "result": "ToolCallFinished", "retry": "AgentRetried", "error": "NodeFailed", "interrupt": "NodeCancelled",
    "denied": "ApprovalDenied", "done": "NodeFinished", "compact": "AgentCompacted", "rollback": "RevertFinished",
    "resumed": "SessionResumed", "bye": "RunExited",
}  # fmt: skip
_CATEGORIES: Final = {"TurnStarted": "node", "PromptSent": "node", "CommandSent": "node", "SessionResumed": "run"}
_AGENT_FILE: Final = re.compile(r"(?:^|/)agent-[\w-]+\.jsonl$")
_SUBAGENTS: Final = re.compile(r"^(.+?)/subagents/.*agent-[\w-]+\.jsonl$")


def run_row(file: RunFile, session: Session, location: str, names: Iterable[str] = ()) -> RunRow:
    """Return the row of a session; its status is the session's own state.

    Args:
        file: Its log.
        session: The session as read from the log.
        location: The source it was read from.
        names: Run ids of that source, searched for the parent session.
    """
    end, about = session.end, session.about
    failed = end.state == "failed"
    error = _error(end) | {"source": f"node:turn:{session.last.number}"} if failed and session.last else None
    over = end.state in {"finished", "failed", "interrupted"}
    duration = (session.ended - session.started) / 1000 if session.started is not None and session.ended is not None else None
    return RunRow(
        run_id=file.run_id,
        source=location,
        workflow=_project(about.cwd) or about.cli,
        workflow_path=file.path,
        workflow_hash=None,
        parent_run_id=_parent(file.run_id, session, names),
        status=end.state,
        state=end.state,
        created_at=session.started if session.started is not None else file.modified_at,
        started_at=session.started,
        finished_at=session.ended if over else None,
        heartbeat_at=None,
        duration_s=duration,
        error_code=end.code or None if failed else None,
        error_message=_message(end),
        error=dump(error) if error else None,
        config=dump({"session": _session_facts(file, session)}),
        owner=None,
        cancel_requested_at=None,
        root=about.cwd or None,
    )


def _message(end: End) -> str | None:
    """Summarise what the session failed on or where it stopped; None if it finished."""
    if end.state == "finished":
        return None
    if end.state == "failed" or end.reason == "retrying":
        return end.text or "an error without words"
    stops = {
        "person": "interrupted by a person",
        "refused": "a call was refused by a person",
        "exit": "left by a person",
        "asks": f"{end.code} asks a person",
        "open-call": f"the log ends in a call of {end.code or 'a tool'}",
        "no-answer": "the log ends before an answer",
    }
    return stops.get(end.reason, "the log ends in the middle of a turn")


def _session_facts(file: RunFile, session: Session) -> dict[str, Any]:
    """Return the facts of a session that no table has a column for; `diagnosis.state.session_words` puts them into words."""
    end, about = session.end, session.about
    facts = {
        "file": file.path,
        "cli": about.cli,
        "version": about.version,
        "id": (session.last and session.last.opens_session) or (about.ids[-1] if about.ids else ""),
        "ids": about.ids if len(about.ids) > 1 else [],
        "cwd": about.cwd,
        "model": about.model,
        "end": _end(end),
        "turn": session.last.number if session.last else None,
        "turns": len(session.turns),
        "stops": _stops(session),
        "askedAgain": session.asked_again,
        "subagent": _AGENT_FILE.search(file.run_id) is not None,
        "compactions": session.compactions,
        "troubles": [_trouble(trouble) for trouble in session.counting()[:_MAX_TROUBLES]],
        "test": _test(session.test) if session.test else None,
        "edits": session.edits,
        "loops": [_loop(loop) for loop in session.loops],
        "subagents": _subagents(session),
        **_left_behind(session),
        "failedCalls": sum(turn.failed_calls for turn in session.turns if not turn.dead),
        "rolledBack": sum(turn.dead for turn in session.turns),
        "lines": session.lines,
        "document": about.document,
        "torn": session.torn,
        "tornTail": session.tail,
        "unknown": about.unknown,
    }
    return {key: value for key, value in facts.items() if value not in (None, "", [], {}, False)}


def _stops(session: Session) -> dict[str, Any]:
    """Return where the newest session of a file begins and stops, if an earlier one with a recorded end is shown instead."""
    newest = session.newest
    return {} if newest is None or newest is session.last else {"from": newest.line, **_end(newest.end)}


def _loop(loop: Loop) -> dict[str, Any]:
    facts = {"call": clean(loop.call), "line": loop.line, "last": loop.last, "count": loop.count, "ms": loop.ms, "tokens": loop.tokens}
    return {key: value for key, value in facts.items() if value not in (None, 0)}


def _subagents(session: Session) -> dict[str, int]:
    subagents = session.subagents
    return asdict(subagents) if subagents and subagents.called else {}


def _left_behind(session: Session) -> dict[str, Any]:
    """Return what a session left behind: changed files with their records, and background processes."""
    if session.left is None:
        return {}
    changed = [{"file": clean(file), "line": line} for file, line in session.left.files.items()]
    running = [{"command": clean(run.command), "line": run.line} for run in session.left.processes if not run.slow]
    half = session.end.reason in {"open-call", "killed"} and session.end.code in EDITS
    return {"changed": changed, "running": running, "half": half}


def _end(end: End) -> dict[str, Any]:
    return asdict(end)


def _test(test: TestRun) -> dict[str, Any]:
    facts = asdict(test) | {"command": clean(test.command)}
    return {key: value for key, value in facts.items() if value not in ("", [])}


def _trouble(trouble: Trouble) -> dict[str, Any]:
    return {name: value for name, value in asdict(trouble).items() if value not in (None, "", False)}


def _error(end: End) -> dict[str, Any]:
    status = {"statusCode": int(end.code)} if end.code.isdecimal() else {}
    return {"name": "AgentError", "code": None if status else end.code or None, "message": end.text} | status


def _project(cwd: str) -> str:
    path = PureWindowsPath(cwd) if "\\" in cwd else PurePath(cwd)
    return path.name


def _parent(run_id: str, session: Session, names: Iterable[str]) -> str | None:
    """Return the run id of the parent session, if its log is in the same source."""
    below = _SUBAGENTS.match(run_id)
    wanted = f"{below[1]}.jsonl" if below else f"{session.about.parent}.jsonl"
    if not below and (not session.about.parent or run_id.endswith(wanted)):
        return None
    return next((name for name in names if name == wanted or name.endswith((f"/{wanted}", f"-{wanted}"))), None)


def node_rows(file: RunFile, session: Session) -> Iterator[NodeRow]:
    """Yield a node per turn."""
    for turn in session.turns:
        yield NodeRow(file.run_id, _node_id(turn), 0, _node_id(turn), _state(turn), _label(turn), 1, turn.ended or turn.at, None)


def attempt_rows(file: RunFile, session: Session) -> Iterator[AttemptRow]:
    """Yield the one attempt of each turn."""
    for turn in session.turns:
        failed = turn.end.state == "failed" and not turn.dead
        yield AttemptRow(
            run_id=file.run_id,
            node_id=_node_id(turn),
            iteration=0,
            attempt=1,
            state=_state(turn),
            started_at=turn.at,
            finished_at=turn.ended,
            duration_s=(turn.ended - turn.at) / 1000 if turn.ended is not None and turn.at is not None else None,
            heartbeat_at=None,
            kind=SESSION_TURN,
            agent=session.about.cli,
            engine=session.about.cli,
            model=turn.model or None,
            retries=0,
            timeout_ms=None,
            retryable=None,
            error_name="AgentError" if failed else None,
            error_code=turn.end.code or None if failed else None,
            error_message=turn.end.text or "an error without words" if failed else None,
            error_stack=None,
            error=dump(_error(turn.end)) if failed else None,
            cached=None,
            response=turn.end.text or None if turn.end.state == "finished" else None,
            reset=turn.dead,
        )


def task_rows(file: RunFile, session: Session) -> Iterator[TaskRow]:
    """Yield a task per turn, in order."""
    for turn in session.turns:
        yield TaskRow(file.run_id, _node_id(turn), 0, turn.number - 1, SESSION_TURN, 1, None, None, None)


def token_rows(file: RunFile, session: Session) -> Iterator[TokenRow]:
    """Yield the tokens of each turn, including rolled back ones, because they were paid for."""
    for turn in session.turns:
        if turn.tokens:
            counts = (turn.tokens.get(name) for name in ("input", "output", "read", "write", "reasoning"))
            yield TokenRow(file.run_id, _node_id(turn), 0, 1, session.about.cli, turn.model or None, *counts)


def approval_rows(file: RunFile, session: Session) -> Iterator[ApprovalRow]:
    """Yield a gate per denied call; allowed calls and open questions leave no record."""
    for index, trouble in enumerate(trouble for trouble in session.troubles if trouble.kind in {"refused", "permission"}):
        yield ApprovalRow(
            run_id=file.run_id,
            node_id=f"turn:{trouble.turn}",
            iteration=index,
            status="denied",
            title=f"line:{trouble.line}",
            summary=None,
            requested_at=None,
            decided_at=None,
            decided_by="a person" if trouble.kind == "refused" else "a permission rule",
            note=trouble.text,
            auto_approved=False,
            actionable=False,
            mode="gate",
            for_question=False,
        )


def event_rows(file: RunFile, session: Session, marks: Iterable[tuple[int, int | None, Mark]]) -> Iterator[EventRow]:
    """Yield an event per record that has a mark, numbered by its line."""
    starts = iter(session.turns)
    upcoming, node, before = next(starts, None), None, 0
    for line, at, mark in marks:
        if mark.kind == "usage" or line == before:
            continue
        while upcoming is not None and line >= upcoming.line:
            node, upcoming = _node_id(upcoming), next(starts, None)
        before, kind = line, _EVENTS[mark.kind]
        failed = {} if mark.ok else {"failed": True}
        facts = {"type": kind, "line": line, "tool": mark.more.get("name"), "code": mark.code, "text": clean(mark.text), **failed}
        payload = dump({key: value for key, value in facts.items() if value not in (None, "")})
        yield EventRow(file.run_id, line, at, kind, _category(kind), node, 0 if node else None, 1 if node else None, payload)


def _category(kind: str) -> str:
    return _CATEGORIES.get(kind) or event_category(kind)


def _node_id(turn: Turn) -> str:
    return f"turn:{turn.number}"


def _state(turn: Turn) -> str:
    if turn.dead or turn.end.reason in {"killed", "silent"}:
        return "skipped" if turn.dead else "cancelled"
    return _STATES[turn.end.state]


def _label(turn: Turn) -> str | None:
    line = next((line.strip() for line in turn.label.splitlines() if line.strip()), "")
    return (line if len(line) <= _MAX_LABEL else f"{line[: _MAX_LABEL - 1]}…") or None
