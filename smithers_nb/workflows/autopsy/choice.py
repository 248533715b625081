"""Which run to look at, when somebody opens the notebook and names none: they choose among the failed ones."""

from __future__ import annotations

from typing import Any

from smithers_nb.sources.locate import open_source
from smithers_nb.workflows.autopsy.stages import newest_failed
from smithers_nb.workflows.notebook.person import before_a_person, waited

_PROMPT = "Which failed run do you want to look at?"


def chosen_run(source: str | None) -> str:
    """Let a person choose a failed run; the notebook continues with it.

    Returns:
        Its id; empty when nobody is there to choose, nobody has chosen, or there is none.

    Raises:
        SourceError: The store cannot be read.
    """
    if not before_a_person():
        return ""
    opened = open_source(source)
    labels = {label: run_id for run_id, label in newest_failed(opened).items()}
    opened.close()
    return _asked(labels) if labels else ""


def _asked(labels: dict[str, str]) -> str:
    from smithers_nb.present.html.decision_cards import QuestionRequest
    from smithers_nb.present.widgets.widgets import QuestionCallbacks, question_widget
    from smithers_nb.workflows.notebook.api import show

    said: list[Any] = []
    callbacks = QuestionCallbacks(said.append, lambda: (said[-1], "") if said else None)
    form = question_widget(QuestionRequest(_PROMPT, {}, list(labels), (), ""), callbacks, who=None, button="Look into it")
    spot = waited(form)
    if spot is None or not said:
        return ""
    show(form.card, spot)
    return labels[said[-1]]
