"""Quotes of rows: the reference of a row and a part of its text, short enough to show.

Secrets are taken out before anything is cut: what recognises a secret needs the whole of it, and half a token is still half a
token.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from smithers_nb.model.verdict import Evidence
from smithers_nb.redact import redact

if TYPE_CHECKING:
    from smithers_nb.model.rows import ApprovalRow, AttemptRow, EventRow, NodeRow, RunRow

QUOTE: Final = 400
"""Longest quote of a row, characters."""


def excerpt(text: str | None, length: int = QUOTE) -> str:
    """Return the beginning of a text, without its secrets."""
    return redact(text or "")[:length]


def quoted(ref: str, text: str | None, note: str = "", length: int = QUOTE) -> Evidence:
    """Quote a row: its reference and the beginning of its text, without its secrets."""
    return Evidence(ref=ref, quote=excerpt(text, length), note=note)


def of_run(run: RunRow, text: str | None = None, note: str = "") -> Evidence:
    """Quote a run, its status unless a text of it is given."""
    return quoted(f"run:{run.run_id}", text or run.status, note)


def of_attempt(attempt: AttemptRow, note: str = "", text: str | None = None) -> Evidence:
    """Quote an attempt, its error unless another text of it is given."""
    ref = f"attempt:{attempt.node_id}/{attempt.iteration}/{attempt.attempt}"
    return quoted(ref, text or attempt.error_message or attempt.state, note)


def of_node(node: NodeRow) -> Evidence:
    """Quote a node: its state."""
    return quoted(f"node:{node.node_id}/{node.iteration}", node.state)


def of_gate(gate: ApprovalRow, text: str | None = None) -> Evidence:
    """Quote a gate, its status unless a text of it is given."""
    return quoted(f"approval:{gate.node_id}/{gate.iteration}", text or gate.status)


def of_event(event: EventRow, text: str = "", note: str = "") -> Evidence:
    """Quote a part of an event, or its type when the store writes it otherwise."""
    return Evidence(ref=f"event:{event.seq}", quote=text if text and text in (event.payload or "") else event.type, note=note)


def in_run(evidence: tuple[Evidence, ...], run_id: str) -> tuple[Evidence, ...]:
    """Name in each reference the child run that the row belongs to."""
    return tuple(e if e.ref.startswith("run:") else replace(e, ref=f"{run_id}/{e.ref}") for e in evidence)
