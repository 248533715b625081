"""Callbacks of the gate and question widgets: they read and write the journal on behalf of the person at the kernel."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from smithers_nb.engine import control
from smithers_nb.engine.journal import Journal
from smithers_nb.engine.journal.decisions import answer_of, decision_of
from smithers_nb.engine.journal.records import Node
from smithers_nb.present.html.decision_cards import Decided, GateRequest, QuestionRequest
from smithers_nb.present.widgets.watch import Watched, watch_widget
from smithers_nb.present.widgets.widgets import GateCallbacks, Live, QuestionCallbacks, gate_widget, question_widget

if TYPE_CHECKING:
    from smithers_nb.engine.control.decisions import Pending
    from smithers_nb.engine.location import Location


def gate_callbacks(location: Location, gate: Node, digest: str | None = None, after: str = "") -> GateCallbacks:
    """Return the callbacks that decide a gate, provided that it still asks what its card shows (`digest`)."""
    run_id, node_id, iteration = gate

    def look() -> Decided | None:
        with Journal.open(location) as journal, journal.reading() as connection:
            found = decision_of(connection, gate)
        return None if found is None else Decided(found.approved, found.decided_by, found.decided_at, found.note)

    def decide(approved: bool, note: str | None) -> Decided:
        options = {"approved": approved, "by": control.login(), "note": note, "iteration": iteration, "seen": digest}
        said = control.decide(location, run_id, node_id, **options)  # type: ignore[arg-type]  # as named
        resume(location, said)
        return Decided(said.said.approved, said.said.decided_by, said.said.decided_at, said.said.note)  # type: ignore[union-attr]  # a gate's

    return GateCallbacks(decide, look, after)


def question_callbacks(location: Location, request_id: str, digest: str | None = None, after: str = "") -> QuestionCallbacks:
    """Return the callbacks that answer a question, provided that it still asks what its card shows (`digest`)."""

    def look() -> tuple[Any, str] | None:
        with Journal.open(location) as journal, journal.reading() as connection:
            found = answer_of(connection, request_id)
        return None if found is None else (found.value, found.answered_by)

    def answer(value: Any) -> None:
        resume(location, control.answer(location, request_id, value, by=control.login(), seen=digest))

    return QuestionCallbacks(answer, look, after)


def watch(location: Location, seen: Callable[[], Watched], run_id: str | None = None, *, mark: Callable[[], object] | None = None) -> Live:
    """Return a widget that follows a run or a whole project, with the gates and questions waiting in it.

    Args:
        location: The project whose journal has the gates and questions.
        seen: Reads what to show; waiting requests are added here.
        run_id: Only requests of this run.
        mark: Returns a value that changes when the stores may have changed; without it they are read each time.
    """

    def look() -> Watched:
        found = seen()
        if found.over or not _has_journal(location):
            return found
        return found._replace(waiting=[(_key(item), _maker(location, item)) for item in control.pending(location, run_id)])

    return watch_widget(look, mark=mark)


def _has_journal(location: Location) -> bool:
    """Return whether there is a journal; looking at Smithers runs must not create one."""
    return location.file is None or location.file.exists()


def _key(item: Pending) -> str:
    return f"{item.run_id}:{item.node_id}:{item.iteration}:{item.requested_at}:{item.digest or item.prompt}"


def _maker(location: Location, item: Pending) -> Callable[[], Live]:
    from smithers_nb.workflows.notebook.api import before, effects

    versions: dict[str, Any] = {
        "digest": item.digest,
        "before": before(item.earlier, item.changes) if item.earlier else None,
    }
    if item.request_id is not None:
        asked = QuestionRequest(item.prompt, item.answer_schema or {}, item.options, (), item.run_id, **versions)
        answers = question_callbacks(location, item.request_id, item.digest)
        return lambda: question_widget(asked, answers, who=control.login())
    gate = GateRequest(item.prompt, item.summary, item.details, effects(item.on_deny), (), item.run_id, **versions)
    decisions = gate_callbacks(location, Node(item.run_id, item.node_id, item.iteration), item.digest)
    return lambda: gate_widget(gate, decisions, who=control.login())


def resume(location: Location, said: control.DecisionResult) -> None:
    """Start a worker when the decision resumes the run; a run in a person's own kernel continues by itself."""
    if said.continues:
        from smithers_nb.workflows.triggers.background import ensure_worker

        ensure_worker(location)
