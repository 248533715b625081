"""Plain HTML forms for what waits for a person: they work with the keyboard, by touch and without scripts.

A form carries the digest of what its card shows, so that the decision applies to exactly that, and the key of the server, which no other
site can read.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from smithers_nb.diagnosis.engines.base import FILL_IN
from smithers_nb.diagnosis.engines.notebooks import NotebookCommands
from smithers_nb.present.answers import Field, field_of
from smithers_nb.present.html.cards import command_sheet, details
from smithers_nb.present.html.decision_cards import GateRequest, QuestionRequest, gate_asked, question_asked
from smithers_nb.present.html.markup import Html, h
from smithers_nb.workflows.notebook.api import before, effects

if TYPE_CHECKING:
    from smithers_nb.engine.control.decisions import Pending

PREFIX: Final = "ask-"
"""Prefix of the ids of the fragments that show pending requests."""


def fragment_id(item: Pending) -> str:
    """Return an id that changes only when the request changes, so that a half-written note is not overwritten without need."""
    identity = "\0".join(map(str, (item.run_id, item.node_id, item.iteration, item.requested_at, item.digest)))
    return f"{PREFIX}{hashlib.sha256(identity.encode('utf-8', 'replace')).hexdigest()[:16]}"


def request_form(item: Pending, key: str, who: str) -> Html:
    """Render a pending request with the form that decides it.

    Args:
        item: The pending request.
        key: Key of the server.
        who: Login of the person who decides.
    """
    name = fragment_id(item)
    ours = NotebookCommands()
    earlier = before(item.earlier, item.changes) if item.earlier else None
    if item.request_id is None:
        gate = (item.run_id, item.node_id, item.iteration)
        commands = [(ours.approve(*gate), "approve"), (ours.deny(*gate), "deny")]
        request = GateRequest(
            item.prompt, item.summary, item.details, effects(item.on_deny), commands, item.run_id, before=earlier, digest=item.digest
        )
        card = gate_asked(request, commands=False)
        return h("div", card, _form("decide", _hidden(item, key), *_gate(name, who)), _by_command(commands))
    schema = item.answer_schema or {}
    command = [(ours.answer(item.request_id, FILL_IN), "answer")]
    question = QuestionRequest(item.prompt, schema, item.options, command, item.run_id, before=earlier, digest=item.digest)
    form = _form("answer", _hidden(item, key), *_question(name, field_of(schema, item.options), who))
    return h("div", question_asked(question, commands=False), form, _by_command(command))


def _form(action: str, *parts: Html) -> Html:
    reply = h("p", class_="snb-said", role="status")
    return h("form", *parts, reply, method="post", action=f"/{action}", class_="snb snb-form")


def _by_command(commands: list[tuple[str, str]]) -> Html:
    return details("In a terminal", command_sheet(commands)).html


def _hidden(item: Pending, key: str) -> Html:
    """Render the hidden fields that identify the request, percent-encoded because a node's name may contain any character."""
    values = {
        "key": key,
        "run": item.run_id,
        "node": item.node_id,
        "iteration": str(item.iteration),
        "request": item.request_id or "",
        "digest": item.digest or "",
    }
    return h("span", *(_input(type="hidden", name=name, value=quote(value)) for name, value in values.items()), hidden=True)


def _gate(name: str, who: str) -> tuple[Html, ...]:
    # In a one-line field Enter would submit the form, which must never approve anything.
    note = h("textarea", id=f"{name}-note", name="note", rows="2", maxlength="4000", placeholder="why, in your words (optional)")
    buttons = (
        h("button", "✔ Approve", type="submit", name="decision", value="approve", class_="snb-good"),
        h("button", "✖ Deny", type="submit", name="decision", value="deny", class_="snb-bad"),
    )
    label = h("label", "Note", for_=f"{name}-note")
    return label, note, h("p", f"You decide as {who}.", class_="snb-muted"), h("p", *buttons, class_="snb-buttons")


def _question(name: str, field: Field, who: str) -> tuple[Html, ...]:
    send = h("p", h("button", "Answer", type="submit", class_="snb-busy"), class_="snb-buttons")
    hint = h("p", f"You answer as {who}. {field.hint}", class_="snb-muted")
    if field.choices:
        radios = (_radio(f"{name}-{number}", label) for number, label in enumerate(field.choices))
        return h("fieldset", h("legend", "Answer"), *radios), hint, send
    rows = "4" if field.is_long else "1"
    control = h("textarea", id=f"{name}-value", name="value", rows=rows, placeholder=field.placeholder or None)
    return h("label", "Answer", for_=f"{name}-value"), control, hint, send


def _radio(name: str, label: str) -> Html:
    return h("label", _input(type="radio", name="value", value=label, id=name), h("span", label), for_=name, class_="snb-choice")


def _input(**attributes: str) -> Html:
    from html import escape

    # The form sends these values back unchanged, so unlike displayed text they are escaped but not redacted.
    written = "".join(f' {name}="{escape(value)}"' for name, value in attributes.items())
    return Html(f"<input{written}>")
