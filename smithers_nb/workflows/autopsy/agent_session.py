"""The session log that an agent CLI left on this machine about the attempt that failed: where it is, and how it ended.

Smithers keeps the id of the CLI's own session with an attempt. The log has what the store does not: every call of a tool, every retry and
what the agent said. It is looked for by that id alone, in the place where that CLI keeps its logs.
"""

from __future__ import annotations

import re
import shlex
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from smithers_nb.diagnosis.state.session import session_course
from smithers_nb.errors import SmithersNbError
from smithers_nb.redact import redact
from smithers_nb.sources.locate import open_source
from smithers_nb.sources.sessions.files import log_of
from smithers_nb.sources.snapshot import Snapshot

if TYPE_CHECKING:
    from pathlib import Path

    from smithers_nb.model.rows import AttemptRow
    from smithers_nb.model.verdict import Advice, Failure
    from smithers_nb.workflows.autopsy.results import Investigation

_CLIS: Final = {"claude-code": "claude", "claude": "claude", "codex": "codex", "gemini": "gemini", "gemini-cli": "gemini"}
"""Smithers' name of an agent engine to that of the CLI whose logs are looked for."""

_FIRST_SENTENCE: Final = re.compile(r".+?\.(?=\s|$)", re.DOTALL)


def explained_by_log(found: Investigation, snapshot: Snapshot) -> Investigation:
    """Return the findings on a session with the cause, evidence and advice from its log; other findings unchanged.

    The log has more than the turn that failed: what it left behind, and earlier errors that were recovered.
    """
    session = session_course(snapshot)
    if session is None or session.failure is None:
        return found
    failure = replace(found.failure, evidence=session.evidence)
    return replace(found, root_cause=redact(session.summary), failure=failure, advice=session.advice or found.advice)


def with_agent_session(advice: Advice, snapshot: Snapshot, failure: Failure) -> Advice:
    """Return the advice with a sentence about the agent's own session, if its log is on this machine."""
    attempt = next((row for row in reversed(snapshot.attempts) if _is_of(row, failure)), None)
    log = _log(attempt) if attempt is not None else None
    if log is None:
        return advice
    sentence = f"The agent's own session is on this machine: {_how_it_went(log)}`{shlex.join(['smithers-nb', 'why', str(log)])}` shows it."
    return replace(advice, detail=f"{advice.detail} {sentence}".strip())


def _is_of(row: AttemptRow, failure: Failure) -> bool:
    return row.node_id == failure.node_id and row.session is not None and failure.attempt in {None, row.attempt}


def _log(attempt: AttemptRow) -> Path | None:
    cli = _CLIS.get(attempt.engine or "")
    return log_of(cli, attempt.session or "") if cli else None


def _how_it_went(log: Path) -> str:
    """Return how the session ended, in its first sentence; nothing when the log cannot be read."""
    with suppress(SmithersNbError, OSError):
        source = open_source(log)
        try:
            course = session_course(Snapshot(source, log.name))
        finally:
            source.close()
        if course is not None and (first := _FIRST_SENTENCE.match(course.summary)):
            return f"{first[0][:1].lower()}{first[0][1:]} "
    return ""
