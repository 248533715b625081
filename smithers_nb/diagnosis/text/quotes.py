"""Quotes of rows: the reference of a row and a part of its text, short enough to show.

Secrets are removed before a text is cut, because a secret is only recognised as a whole and half a token is still half a token.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from smithers_nb.model.verdict import Evidence
from smithers_nb.redact import redact

if TYPE_CHECKING:
    from smithers_nb.model.rows import ApprovalRow, AttemptRow, EventRow, NodeRow, RunRow

QUOTE: Final = 400
"""Maximum length of a quote in characters."""


def excerpt(text: str | None, length: int = QUOTE) -> str:
    """Return the beginning of a text without secrets."""
    return redact(text or "")[:length]


def quoted(ref: str, text: str | None, note: str = "", length: int = QUOTE) -> Evidence:
    """Return a quote of a row: its reference and the beginning of its text without secrets."""
    return Evidence(ref=ref, quote=excerpt(text, length), note=note)


def of_run(run: RunRow, text: str | None = None, note: str = "") -> Evidence:
    """Return a quote of a run; the text defaults to its status."""
    return quoted(f"run:{run.run_id}", text or run.status, note)


def of_attempt(attempt: AttemptRow, note: str = "", text: str | None = None) -> Evidence:
    """Return a quote of an attempt; the text defaults to its error message, then its state."""
    ref = f"attempt:{attempt.node_id}/{attempt.iteration}/{attempt.attempt}"
    return quoted(ref, text or attempt.error_message or attempt.state, note)


def of_node(node: NodeRow) -> Evidence:
    """Return a quote of a node's state."""
    return quoted(f"node:{node.node_id}/{node.iteration}", node.state)


def of_gate(gate: ApprovalRow, text: str | None = None) -> Evidence:
    """Return a quote of a gate; the text defaults to its status."""
    return quoted(f"approval:{gate.node_id}/{gate.iteration}", text or gate.status)


def of_event(event: EventRow, text: str = "", note: str = "") -> Evidence:
    """Return a quote of a part of an event; its type, when the payload does not contain that text literally."""
    return Evidence(ref=f"event:{event.seq}", quote=text if text and text in (event.payload or "") else event.type, note=note)


def in_run(evidence: tuple[Evidence, ...], run_id: str) -> tuple[Evidence, ...]:
    """Return evidence with the run that the rows belong to in each reference, except where a reference names its run already."""
    return tuple(e if e.ref.startswith("run:") or "/" in e.ref.partition(":")[0] else replace(e, ref=f"{run_id}/{e.ref}") for e in evidence)
