"""`stage`, `gate` and `ask` as notebooks call them: the engine's calls, with a card or widget to show.

A gate that waits shows its card, and the execution ends there. When a person runs the notebook in JupyterLab, it shows the same as a
widget, its cell waits, and the following cells run as soon as the person has decided. Only a person's decision passes a gate: neither
running all cells nor time does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any, Literal

from smithers_nb.engine import stages
from smithers_nb.model.timestamps import when
from smithers_nb.present.html.decision_cards import (
    Before,
    Decided,
    GateRequest,
    QuestionRequest,
    as_text,
    gate_asked,
    gate_decided,
    question_asked,
)
from smithers_nb.present.html.parts import note
from smithers_nb.workflows.notebook.person import before_a_person, waited

if TYPE_CHECKING:
    from IPython.display import DisplayHandle

    from smithers_nb.engine.journal.decisions import Decision
    from smithers_nb.engine.journal.requests import Difference, Earlier
    from smithers_nb.engine.stages import Parked
    from smithers_nb.present.widgets.widgets import Live

__all__ = ["ask", "gate", "show", "stage"]

_AGAIN = "If nothing goes on by itself, run this cell again."


@wraps(stages.stage)
def stage(node_id: str, fn: Callable[..., Any] | None = None, /, *args: Any, **options: Any) -> Any:
    """Run a step once per run and keep its output; see `engine.stages.stage`."""
    value = stages.stage(node_id, fn, *args, **options)
    run = stages.current() or stages.lab_run()
    made_at = run.reused.pop((node_id, options.get("iteration", 0)), None)
    if run.by_hand and made_at is not None:
        show(note(f"{node_id} was not run again: its output of {when(made_at)} was reused. To start over, restart the kernel."))
    return value


def gate(  # noqa: PLR0913  # a request is what it is
    node_id: str,
    title: str,
    summary: str = "",
    details: Mapping[str, Any] | None = None,
    *,
    iteration: int = 0,
    on_deny: Literal["continue", "fail"] = "continue",
    volatile: Sequence[str] = (),
) -> Decision:
    """Ask a person for approval; see `engine.stages.gate`."""
    stages.current()  # refuses in a fork, where the first import might wait for ever
    spot = None
    while True:
        try:
            decision = stages.gate(node_id, title, summary, details, iteration=iteration, on_deny=on_deny, volatile=volatile)
        except stages.Parked as parked:
            if (parked.node_id, parked.iteration) != (node_id, iteration):
                raise  # another gate waits, and has shown itself
            about = (title, summary, dict(details or {}), effects(on_deny), _gate_commands(parked), parked.run.run_id)
            request = GateRequest(*about, **_versions(parked))
            if not _is_before_a_person(parked):
                show(gate_asked(request))
                raise
            spot = waited(_gate_widget(parked, request))
            if spot is None:
                raise
        else:
            show(gate_decided(title, _decided(decision)), spot)
            return decision


def ask(node_id: str, prompt: str, schema: Any = None, options: list[str] | None = None, *, iteration: int = 0) -> Any:
    """Ask a person a question; see `engine.stages.ask`."""
    stages.current()  # refuses in a fork, where the first import might wait for ever
    while True:
        try:
            return stages.ask(node_id, prompt, schema, options, iteration=iteration)
        except stages.Parked as parked:
            if (parked.node_id, parked.iteration) != (node_id, iteration):
                raise  # another question waits, and has shown itself
            details = parked.request
            about = (details["prompt"], details["schema"], details["options"], _question_commands(parked), parked.run.run_id)
            request = QuestionRequest(*about, **_versions(parked))
            if not _is_before_a_person(parked):
                show(question_asked(request))
                raise
            form = _question_widget(parked, request)
            spot = waited(form)
            if spot is None:
                raise
            show(form.card, spot)


def effects(on_deny: str) -> tuple[tuple[str, str], ...]:
    """Return what approving a gate does, and what denying it does."""
    from smithers_nb.diagnosis.state.inbox import DENIED  # imported late: a kernel without gates does not need it

    return ("Approve", "the run continues"), ("Deny", DENIED["fail" if on_deny == "fail" else "continue"])


def show(what: Any, spot: DisplayHandle | None = None) -> None:
    """Display a card or widget, or replace the one in `spot`; outside IPython, print its text."""
    from IPython.core.getipython import get_ipython

    if spot is not None:
        spot.update(what)
        return
    if get_ipython() is None:
        print(what)  # noqa: T201  # a script has nothing else
        return
    from IPython.display import display

    display(what)


def _versions(parked: Parked) -> dict[str, Any]:
    request = parked.request.get("request")
    if request is None:
        return {}
    return {"digest": request.digest, "before": before(request.earlier[-1], request.changes) if request.earlier else None}


def before(earlier: Earlier, changes: Sequence[Difference]) -> Before:
    """Return the earlier decision or answer, for a card that asks again because the request changed."""
    return Before(as_text(earlier.said), earlier.by, earlier.at, changes)


def _gate_widget(parked: Parked, request: GateRequest) -> Live:
    from smithers_nb.engine.control import login
    from smithers_nb.present.widgets.widgets import gate_widget
    from smithers_nb.workflows.notebook.widget_callbacks import gate_callbacks

    run = parked.run
    return gate_widget(request, gate_callbacks(run.journal.location, parked.node, request.digest, _AGAIN), who=login())


def _question_widget(parked: Parked, request: QuestionRequest) -> Live:
    from smithers_nb.engine.control import login
    from smithers_nb.present.widgets.widgets import question_widget
    from smithers_nb.workflows.notebook.widget_callbacks import question_callbacks

    callbacks = question_callbacks(parked.run.journal.location, parked.request["request_id"], request.digest, _AGAIN)
    return question_widget(request, callbacks, who=login())


def _is_before_a_person(parked: Parked) -> bool:
    """Return whether somebody can decide here: a kernel that a person runs by hand."""
    return parked.run.by_hand and before_a_person()


def _gate_commands(parked: Parked) -> tuple[tuple[str, str], ...]:
    if _ends_with_its_kernel(parked):
        return _RUN_IT
    gate = (parked.run.run_id, parked.node_id, parked.iteration)
    from smithers_nb.diagnosis.engines.notebooks import NotebookCommands

    return (NotebookCommands().approve(*gate), "approve"), (NotebookCommands().deny(*gate), "deny")


def _question_commands(parked: Parked) -> tuple[tuple[str, str], ...]:
    if _ends_with_its_kernel(parked):
        return _RUN_IT
    from smithers_nb.diagnosis.engines.base import FILL_IN
    from smithers_nb.diagnosis.engines.notebooks import NotebookCommands

    return ((NotebookCommands().answer(parked.request["request_id"], FILL_IN), "answer"),)


_RUN_IT = (
    ("smithers-nb up NOTEBOOK.ipynb", "this notebook is not executed durably, so it ends here; run so, it goes on after the decision"),
)


def _ends_with_its_kernel(parked: Parked) -> bool:
    """Return whether nobody can decide any more once this cell has failed: plain papermill ends the kernel then."""
    return parked.run.by_hand and not _is_before_a_person(parked)


def _decided(decision: Decision) -> Decided:
    return Decided(decision.approved, decision.decided_by, decision.decided_at, decision.note)
