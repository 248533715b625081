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
    from smithers_nb.workflows.live.place import Place


class Told(NamedTuple):
    """What came of a form.

    Attributes:
        done: Whether nothing is left to decide there: it is decided, by this form or by somebody before.
    """

    message: str
    hint: str
    done: bool


def submitted(place: Place, action: str, sent: Callable[[str], str | None]) -> Told:
    """Do what a form asks for; a refusal is part of the answer.

    Args:
        place: Whose journal it is written in.
        action: `decide` or `answer`.
        sent: Gives a field of the form, None when it was not sent.
    """
    try:
        return _decided(place, sent) if action == "decide" else _answered(place, sent)
    except SmithersNbError as error:
        code = error.code if isinstance(error, ControlRefused) else ""
        return Told(str(error), error.hint, code in {"ALREADY_DECIDED", "ALREADY_ANSWERED", "REQUEST_CHANGED"})


def _decided(place: Place, sent: Callable[[str], str | None]) -> Told:
    choice, iteration = sent("decision"), sent("iteration") or "0"
    if choice not in {"approve", "deny"} or not iteration.isdecimal() or not place.has_journal:
        raise ParameterError("the form is not complete: choose Approve or Deny")
    note = (sent("note") or "").strip() or None
    options = {"by": control.login(), "note": note, "iteration": int(iteration), "seen": sent("digest") or None}
    said = control.decide(place.location, unquote(sent("run") or ""), unquote(sent("node") or ""), approved=choice == "approve", **options)  # type: ignore[arg-type]
    resume(place.location, said)
    return Told("Approved." if choice == "approve" else "Denied.", "", done=True)


def _answered(place: Place, sent: Callable[[str], str | None]) -> Told:
    request_id = unquote(sent("request") or "")
    item = next((item for item in place.pending() if item.request_id == request_id), None)
    # Of a question that is not open any more `answer` says who was first.
    value = None if item is None else field_of(item.answer_schema or {}, item.options).read(sent("value"))
    said = control.answer(place.location, request_id, value, by=control.login(), seen=sent("digest") or None)
    resume(place.location, said)
    return Told("Answered.", "", done=True)
