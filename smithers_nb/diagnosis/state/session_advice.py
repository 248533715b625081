"""How a session can go on: the command of its own CLI, and what has to be put right before."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from smithers_nb.diagnosis.classify.refusals import is_limit
from smithers_nb.diagnosis.engines.base import engine_of
from smithers_nb.model.verdict import Advice, Classification

if TYPE_CHECKING:
    from smithers_nb.model.vocabulary import Suggestion
    from smithers_nb.sources.snapshot import Snapshot

_CONTEXT: Final = re.compile(r"prompt is too long|context (?:window|length)|maximum context|ContextWindowExceeded", re.IGNORECASE)
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
    if _CONTEXT.search(text):
        detail = "The context is full: resume the session and compact it (`/compact`), or start a new one with a summary."
    elif is_limit(text, str((deciding or {}).get("code") or "")):
        detail, suggestion = "Wait until the limit resets, or change the plan or the model, then resume the session.", "resume"
    elif suggestion == "fix-environment":
        detail = "Waiting will not help: correct what the provider or the machine refuses (model, plan, key, gateway), then resume."
    else:
        suggestion = "resume" if suggestion not in {"resume", "escalate"} else suggestion
        detail = f"Resume the session. {engine.continues}"
    if end["reason"] in {"open-call", "after-result", "no-end"}:
        detail = f"If no process of it is running any more, resume the session. {engine.continues}"
    if (cwd := told.get("cwd")) and command.startswith(_BY_FOLDER):
        detail += f" Run the command in {cwd}."
    return Advice(suggestion=suggestion, detail=detail, commands=(command,))
