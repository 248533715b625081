"""How a session can go on: the command of its own CLI, and what has to be put right before."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from smithers_nb.diagnosis.classify.refusals import is_context, is_limit
from smithers_nb.diagnosis.engines.base import engine_of
from smithers_nb.model.timestamps import when
from smithers_nb.model.verdict import Advice, Classification
from smithers_nb.redact import redact

if TYPE_CHECKING:
    from smithers_nb.model.vocabulary import Suggestion
    from smithers_nb.sources.snapshot import Snapshot

_RESETS: Final = re.compile(
    r"\bresets?(?: (?:at|in|after))? ([^|\n]{2,60}?)\.?$|\b(?:try again|will reset) ((?:in|at|after) [^.|\n]{2,60})",
    re.IGNORECASE | re.MULTILINE,
)
_RESETS_AT: Final = re.compile(r"\|(\d{10})\b")
"""When a limit resets: in words, or as Claude Code once wrote it, in epoch seconds."""

_BY_FOLDER: Final = ("claude", "gemini", "opencode")
"""CLIs that find a session only in the folder it was begun in."""


def session_advice(
    snapshot: Snapshot, told: dict[str, Any], deciding: dict[str, Any] | None, classification: Classification | None
) -> Advice | None:
    """Suggest how the session can go on; nothing for one that finished."""
    end = told["end"]
    if end["state"] == "finished":
        return None
    engine = engine_of(snapshot)
    command = engine.resume(None, snapshot.run.run_id)
    text = str((deciding or {}).get("text") or "")
    suggestion: Suggestion = "resume"
    if (classification and end["state"] == "failed") or end["reason"] == "retrying":
        suggestion = classification.suggestion if classification else "resume"
    code = str((deciding or {}).get("code") or "")
    if is_context(text, code):
        detail = "The context is full: resume the session and compact it (`/compact`), or start a new one with a summary."
    elif is_limit(text, code):
        detail = f"Wait until the limit resets{_resets(text)}, or change the plan or the model, then resume the session."
        suggestion = "resume"
    elif suggestion == "fix-environment":
        detail = "Waiting will not help: correct what the provider or the machine refuses (model, plan, key, gateway), then resume."
    elif classification and classification.rule == "session-request":
        detail = "Resume the session. Where the same request is refused again, go back before it, or start a new session with a summary."
    else:
        suggestion = "resume" if suggestion not in {"resume", "escalate"} else suggestion
        detail = f"Resume the session. {engine.continues}"
    if end["reason"] in {"open-call", "after-result", "no-end"}:
        detail = f"If no process of it is running any more, resume the session. {engine.continues}"
    if (cwd := told.get("cwd")) and command.startswith(_BY_FOLDER):
        detail += f" Run the command in {cwd}."
    return Advice(suggestion=suggestion, detail=detail, commands=(command,))


def _resets(text: str) -> str:
    """Say when a limit resets, as far as its words tell."""
    if stamp := _RESETS_AT.search(text):
        return f" ({when(int(stamp[1]) * 1_000)})"
    found = _RESETS.search(text)
    return f" ({redact(found[1] or found[2])})" if found else ""
