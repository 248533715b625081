"""Live twins of what a person is asked: a gate with buttons, a question with a form.

Made of ipywidgets (the extra `lab`). What happens on a click is a callback of the caller, and what a callback refuses is shown in place.
Every widget carries its static card, so a saved notebook, a report and a terminal say the same.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Collection, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from smithers_nb.errors import SmithersNbError
from smithers_nb.present.html.decision_cards import (
    Decided,
    GateRequest,
    QuestionRequest,
    gate_asked,
    gate_decided,
    question_answered,
    question_asked,
)
from smithers_nb.present.html.markup import Card, h
from smithers_nb.present.html.parts import note
from smithers_nb.present.html.text import one_line
from smithers_nb.present.html.theme import style_block
from smithers_nb.present.widgets.forms import form_of

EVERY_S: Final = 2.0
"""Seconds between two looks at what others have decided."""

_LINES: Final = 12
_WIDE: Final = {"width": "auto", "max_width": "46em"}
# Fields are sent when they are left (`continuous_update=False`): sent with every key, the last ones may come after the click.


@dataclass(repr=False)
class Live:
    """A widget and its static twin.

    Attributes:
        box: The ipywidgets widget.
        card: The twin as it is now.
        over: Set once somebody has said what was asked.
    """

    box: Any
    card: Card
    _task: Any = field(default=None, init=False)
    over: threading.Event = field(default_factory=threading.Event, init=False)
    _look: Callable[[], bool] = field(default=lambda: False, init=False)

    def __repr__(self) -> str:
        return self.card.text

    def _repr_mimebundle_(self, include: Collection[str] | None = None, exclude: Collection[str] | None = None) -> dict[str, Any]:
        del include, exclude  # all forms are small, and IPython filters by itself
        return {**self.box._repr_mimebundle_(), **self.card._repr_mimebundle_()}

    def follow(self, task: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Let a task update the widget in the background; where no event loop runs, never."""
        with suppress(RuntimeError):
            self._task = asyncio.get_running_loop().create_task(task())

    def every(self, seconds: float, look: Callable[[], bool]) -> None:
        """Call `look` again and again until it says True; where no event loop runs, only while somebody waits."""
        self._look = look
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return
        self._task = loop.create_task(_again(seconds, look))

    def wait(self) -> None:
        """Keep the cell that shows this until somebody has said something, here or elsewhere; clicks must reach another thread."""
        while not self.over.wait(EVERY_S) and not self._look():
            pass


class GateCallbacks(NamedTuple):
    """What a gate's buttons do.

    Attributes:
        decide: Takes the decision and the note; raises a `SmithersNbError` when it is refused.
        look: What is decided by now; None while nothing is.
        after: Said once it is decided.
    """

    decide: Callable[[bool, str | None], Decided]
    look: Callable[[], Decided | None]
    after: str = ""


def gate_widget(request: GateRequest, callbacks: GateCallbacks, *, who: str) -> Live:
    """Let a person decide: title, summary, details, a note, Approve and Deny.

    Args:
        request: What is asked.
        callbacks: What the buttons do.
        who: In whose name the decision is written; shown before it is taken.
    """
    import ipywidgets as widgets

    note_field = widgets.Text(description="Note", placeholder="why, in your words (optional)", layout=_WIDE, continuous_update=False)
    approve = widgets.Button(description="Approve", button_style="success", icon="check", tooltip=f"Approve: {request.title}")
    deny = widgets.Button(description="Deny", button_style="danger", icon="times", tooltip=f"Deny: {request.title}")
    decision = _DecisionForm(
        gate_asked(request, commands=False),
        [widgets.HTML(as_line(f"You decide as {who}.")), note_field, widgets.HBox([approve, deny])],
        lambda: None if (found := callbacks.look()) is None else gate_decided(request.title, found),
        callbacks.after,
    )
    for button in (approve, deny):
        decision.on(button, lambda chosen: callbacks.decide(chosen is approve, note_field.value.strip() or None))
    return decision.live(gate_asked(request))


class QuestionCallbacks(NamedTuple):
    """What a question's form does.

    Attributes:
        answer: Takes the answer as JSON; raises a `SmithersNbError` when it does not fit or somebody was first.
        look: Who has answered what by now; None while nobody has.
        after: Said once it is answered.
    """

    answer: Callable[[Any], None]
    look: Callable[[], tuple[Any, str] | None]
    after: str = ""


def question_widget(request: QuestionRequest, callbacks: QuestionCallbacks, *, who: str | None, button: str = "Answer") -> Live:
    """Let a person answer, with a form made from the JSON schema of the answer.

    Args:
        request: What is asked.
        callbacks: What the button does.
        who: In whose name the answer is written; shown before it is given. None for a choice that is written nowhere.
        button: What the button says.
    """
    import ipywidgets as widgets

    form = form_of(request.schema, request.options, label="Answer" if who else "")
    send = widgets.Button(description=button, button_style="primary", icon="check", tooltip="Send the answer" if who else button)
    notice = f"You answer as {who}. {form.hint}" if who else "Nothing is changed by looking."
    decision = _DecisionForm(
        question_asked(request, commands=False),
        [widgets.HTML(as_line(notice)), form.widget, send],
        lambda: None if (found := callbacks.look()) is None else question_answered(request.prompt, found[0], by=found[1]),
        callbacks.after,
    )
    decision.on(send, lambda _: callbacks.answer(form.read()))
    return decision.live(question_asked(request))


class _DecisionForm:
    """What a gate and a question have in common: a card, controls below it, and a card instead once somebody has said something."""

    def __init__(self, card: Card, controls: list[Any], look: Callable[[], Card | None], after: str) -> None:
        import ipywidgets as widgets

        self._page, self._said = widgets.HTML(as_page(card)), widgets.HTML()
        self._controls = widgets.VBox(controls)
        self._look, self._after = look, after
        self._buttons: list[Any] = []
        self._live: Live | None = None

    def on(self, button: Any, act: Callable[[Any], object]) -> None:
        """Let a button act; what is refused is shown, and what was said meanwhile by somebody else as well."""
        self._buttons.append(button)

        def click(chosen: Any) -> None:
            self._enable(False)
            try:
                act(chosen)
            except SmithersNbError as error:
                self._said.value = as_refusal(error)
            else:
                self._said.value = as_line(self._after)
            self._enable(not self.show())

        button.on_click(click)

    def live(self, twin: Card) -> Live:
        """Put it together, and look from time to time whether somebody else has said something."""
        import ipywidgets as widgets

        self._live = Live(widgets.VBox([self._page, self._controls, self._said]), twin)
        self._live.every(EVERY_S, self.show)
        return self._live

    def show(self) -> bool:
        """Show what was said; False while nothing was, or while it cannot be read."""
        card = None
        with suppress(SmithersNbError):
            card = self._look()
        if card is None:
            return False
        self._page.value, self._controls.layout.display = as_page(card), "none"
        self._said.value = self._said.value or as_line(self._after)
        if self._live is not None:
            self._live.card = card
            self._live.over.set()
        return True

    def _enable(self, on: bool) -> None:
        for button in self._buttons:
            button.disabled = not on


async def _again(seconds: float, look: Callable[[], bool]) -> None:
    while not look():  # noqa: ASYNC110  # what is waited for happens in another process
        await asyncio.sleep(seconds)


def as_page(card: Card) -> str:
    """Write a card as a widget shows it."""
    return style_block() + card.html


def as_line(text: str) -> str:
    """Write one quiet line; nothing for an empty one."""
    return style_block() + h("p", one_line(text, 600), class_="snb snb-muted", role="status") if text else ""


def as_refusal(error: SmithersNbError) -> str:
    """Write what was refused, and what to do instead."""
    lines = [note(line, state="failed") for line in str(error).splitlines()[:_LINES]]
    hint = h("p", one_line(error.hint, 600), class_="snb snb-muted") if error.hint else None
    return style_block() + h("div", *lines, hint, role="alert")
