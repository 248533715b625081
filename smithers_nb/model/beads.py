"""Work items (beads), their log, and the moves in it that ought to have a reason.

One vocabulary for all stores: bd's issues, cloud Gastown's beads and our own ledger's have the same columns here; what a store says
beside them stays in `extra`, and statuses and event types are kept as they are.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal, NamedTuple

from smithers_nb.model.rows import Index, Json, Key, Ms, Text  # noqa: TC001  # frames read the annotations

MoveKind = Literal["close", "give_back", "reopen", "fail"]

IN_HAND: Final = frozenset({"in_progress", "hooked", "in_review"})
"""Statuses in which somebody holds the work; from one of them back to `open` is giving it back."""


class BeadRow(NamedTuple):
    """The current state of one work item. Key: `bead_id`."""

    bead_id: Annotated[Key, "id"]
    type: Annotated[Text, "issue, task, merge_request, convoy, agent, …"]
    status: Annotated[Text, "open, in_progress, in_review, closed, failed; bd: blocked, deferred, pinned, hooked, …"]
    title: Annotated[Text, "title"]
    assignee: Annotated[Text, "who holds it"]
    parent_id: Annotated[Text, "bead or convoy that it belongs to"]
    created_at: Annotated[Ms, "creation"]
    updated_at: Annotated[Ms, "last change"]
    closed_at: Annotated[Ms, "when it was closed or failed"]
    reason_code: Annotated[Text, "code of the failure; NA in stores that have none"]
    reason: Annotated[Text, "message of the failure, else the reason of the close"]
    reason_source: Annotated[Text, "who noticed the failure"]
    dispatch_attempts: Annotated[Index, "tries to start an agent on it"]
    extra: Annotated[Json, "everything else that the store has about it"]


class BeadEventRow(NamedTuple):
    """One line of the log of work items. Key: `seq`."""

    seq: Annotated[Index, "position in the log; the line in a file"]
    bead_id: Annotated[Key, "bead"]
    at: Annotated[Ms, "time"]
    type: Annotated[Key, "event type as stored"]
    actor: Annotated[Text, "who did it"]
    old_status: Annotated[Text, "status before, where the event says"]
    new_status: Annotated[Text, "status after, where the event says"]
    reason_code: Annotated[Text, "code of the failure"]
    reason: Annotated[Text, "why, in the words of the event"]
    reason_source: Annotated[Text, "who noticed"]
    payload: Annotated[Json, "the event as stored"]


class BeadFailureRow(NamedTuple):
    """A failure in the log of work items. Key: `seq`."""

    bead_id: Annotated[Key, "bead; empty when the event names none"]
    seq: Annotated[Index, "position in the log; the line in a file"]
    at: Annotated[Ms, "time"]
    type: Annotated[Key, "event type as stored"]
    reason_code: Annotated[Key, "code; `unknown` where none was recorded"]
    message: Annotated[Key, "why"]
    reason_source: Annotated[Key, "who noticed; `import` where nobody says"]
    details: Annotated[Json, "the event as stored"]


class Move(NamedTuple):
    """A change of status that ought to have a reason.

    Attributes:
        kind: `close`, `give_back` (somebody held it, now it is open), `reopen` or `fail`.
        at: Epoch milliseconds.
        holder: Who had the work before.
        reason: The reason in the event itself, stripped; empty for none.
        explained: A reason exists anywhere: in the event, in the same update, or in a comment within a minute.
        how: `status`, `unclaimed`, `lease_reclaimed`, or the event type that says it.
        again: A close of what was closed already, whose reason the row does not take.
        earlier: For a reopen and for a second close, the reason of the close before; empty for none.
        gone: For a reopen, that earlier reason is no longer in the row.
        outcome: Outcome that the bead states (`gc.work_outcome`, `gc.outcome`); empty for none.
        commit: Commit that the bead names as its work.
        ref: Where it is recorded: `FILE:LINE`, or `TABLE:ID`.
    """

    kind: MoveKind
    bead_id: str
    at: int | None
    actor: str | None
    ref: str
    reason: str = ""
    explained: bool = False
    how: str = "status"
    holder: str | None = None
    again: bool = False
    earlier: str = ""
    gone: bool = False
    outcome: str = ""
    commit: str = ""


BEAD_TABLES: Final[dict[str, type[NamedTuple]]] = {"beads": BeadRow, "bead_events": BeadEventRow, "bead_failures": BeadFailureRow}
"""Tables of work items by the name of their frame."""
