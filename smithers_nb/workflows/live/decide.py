"""Handles the forms of live pages: one decision, made in the name of the person at this machine and bound to what they were shown."""

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
    """The reply to a form.

    Attributes:
        done: Whether nothing is left to decide: it is decided by this form, or was decided before.
    """

    message: str
    hint: str
    done: bool


def handle_form(runs: ServedRuns, action: str, field: Callable[[str], str | None]) -> DecisionReply:
    """Carry out a form and return the reply, which also reports a refusal.

    Args:
        runs: The runs whose journal the decision is written to.
        action: `decide` or `answer`.
        field: Returns the value of a form field, or None if it was not sent.
    """
    try:
        return _decide(runs, field) if action == "decide" else _answer(runs, field)
    except SmithersNbError as error:
        code = error.code if isinstance(error, ControlRefused) else ""
        return DecisionReply(str(error), error.hint, code in {"ALREADY_DECIDED", "ALREADY_ANSWERED", "REQUEST_CHANGED"})


def _decide(runs: ServedRuns, field: Callable[[str], str | None]) -> DecisionReply:
    choice, iteration = field("decision"), field("iteration") or "0"
    if choice not in {"approve", "deny"} or not iteration.isdecimal() or not runs.has_journal:
        raise ParameterError("the form is incomplete: choose Approve or Deny")
    result = control.decide(
        runs.location,
        unquote(field("run") or ""),
        unquote(field("node") or ""),
        approved=choice == "approve",
        by=control.login(),
        note=(field("note") or "").strip() or None,
        iteration=int(iteration),
        seen=field("digest") or None,
    )
    resume(runs.location, result)
    return DecisionReply("Approved." if choice == "approve" else "Denied.", "", done=True)


def _answer(runs: ServedRuns, field: Callable[[str], str | None]) -> DecisionReply:
    request_id = unquote(field("request") or "")
    item = next((item for item in runs.pending() if item.request_id == request_id), None)
    # For a question that is no longer open, `answer` raises an error that names who answered it.
    value = None if item is None else field_of(item.answer_schema or {}, item.options).read(field("value"))
    result = control.answer(runs.location, request_id, value, by=control.login(), seen=field("digest") or None)
    resume(runs.location, result)
    return DecisionReply("Answered.", "", done=True)
