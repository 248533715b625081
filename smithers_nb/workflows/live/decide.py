"""What a form of a live page does: one decision, in the name of the person at this machine, bound to what they were shown."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote

from smithers_nb.engine import control
from smithers_nb.errors import ControlRefused, ParameterError, SmithersNbError
from smithers_nb.present.answers import field_of
from smithers_nb.workflows.notebook.widget_callbacks import resume

if TYPE_CHECKING:
    from smithers_nb.workflows.live.served_runs import ServedRuns


class DecisionReply(NamedTuple):
    """What came of a form.

    Attributes:
        done: Whether nothing is left to decide there: it is decided, by this form or by somebody before.
    """

    message: str
    hint: str
    done: bool


def submitted(runs: ServedRuns, action: str, sent: Callable[[str], str | None]) -> DecisionReply:
    """Do what a form asks for; a refusal is part of the answer.

    Args:
        runs: Whose journal it is written in.
        action: `decide` or `answer`.
        sent: Gives a field of the form, None when it was not sent.
    """
    try:
        return _decided(runs, sent) if action == "decide" else _answered(runs, sent)
    except SmithersNbError as error:
        code = error.code if isinstance(error, ControlRefused) else ""
        return DecisionReply(str(error), error.hint, code in {"ALREADY_DECIDED", "ALREADY_ANSWERED", "REQUEST_CHANGED"})


def _decided(runs: ServedRuns, sent: Callable[[str], str | None]) -> DecisionReply:
    choice, iteration = sent("decision"), sent("iteration") or "0"
    if choice not in {"approve", "deny"} or not iteration.isdecimal() or not runs.has_journal:
        raise ParameterError("the form is not complete: choose Approve or Deny")
    note = (sent("note") or "").strip() or None
    options = {"by": control.login(), "note": note, "iteration": int(iteration), "seen": sent("digest") or None}
    said = control.decide(runs.location, unquote(sent("run") or ""), unquote(sent("node") or ""), approved=choice == "approve", **options)  # type: ignore[arg-type]
    resume(runs.location, said)
    return DecisionReply("Approved." if choice == "approve" else "Denied.", "", done=True)


def _answered(runs: ServedRuns, sent: Callable[[str], str | None]) -> DecisionReply:
    request_id = unquote(sent("request") or "")
    item = next((item for item in runs.pending() if item.request_id == request_id), None)
    # Of a question that is not open any more `answer` says who was first.
    value = None if item is None else field_of(item.answer_schema or {}, item.options).read(sent("value"))
    said = control.answer(runs.location, request_id, value, by=control.login(), seen=sent("digest") or None)
    resume(runs.location, said)
    return DecisionReply("Answered.", "", done=True)
