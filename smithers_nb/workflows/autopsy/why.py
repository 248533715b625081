"""Why a run is in the state it is in: the quick answer, without a notebook and without pandas.

Gets the snapshot of one run and gives an explanation. A failure is looked for whenever something failed, also in a run that is
still going or says it has finished; blockers are looked for while the run is not over.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from smithers_nb.diagnosis.advice.root_cause import root_cause
from smithers_nb.diagnosis.advice.suggest import advise, after_a_stop, owner_in
from smithers_nb.diagnosis.classify.classify import classify
from smithers_nb.diagnosis.defects.detectors import find_defects
from smithers_nb.diagnosis.engines.base import engine_of
from smithers_nb.diagnosis.engines.reset_preview import reset_preview
from smithers_nb.diagnosis.engines.working_directory import commands_folder
from smithers_nb.diagnosis.failure.root_failure import find_failure, without_echoes
from smithers_nb.diagnosis.failure.stopped import INTERRUPTED
from smithers_nb.diagnosis.history.lineage import find_origin
from smithers_nb.diagnosis.history.origins import in_hindsight, is_unexplained
from smithers_nb.diagnosis.history.past_advice import tried_in_vain
from smithers_nb.diagnosis.state.blockers import blockers
from smithers_nb.diagnosis.state.conditions import run_state
from smithers_nb.diagnosis.state.executed import cells_as_evidence, ending
from smithers_nb.diagnosis.state.health import health
from smithers_nb.diagnosis.state.session import SessionCourse, session_course
from smithers_nb.model.verdict import Advice
from smithers_nb.workflows.autopsy.agent_session import with_agent_session
from smithers_nb.workflows.autopsy.excerpts import source_around, surroundings, text_that_ran, thrown_line, workflow_source
from smithers_nb.workflows.autopsy.results import WhyRow

if TYPE_CHECKING:
    from pathlib import Path

    from smithers_nb.model.rows import AttemptRow
    from smithers_nb.model.verdict import Defect, Failure, ResetPreview
    from smithers_nb.sources.snapshot import Snapshot

_BROKEN = frozenset({"failed", "stuck"})


def explain(snapshot: Snapshot, *, now: int, workflow_path: Path | None = None) -> WhyRow:
    """Explain what a run failed on or waits for, and what to do.

    Args:
        snapshot: The run.
        now: Judge as of this epoch millisecond.
        workflow_path: The workflow's file, when the caller knows better than the store.
    """
    run = snapshot.run
    if (session := session_course(snapshot)) is not None:
        return _of_session(snapshot, session)
    bucket, reason = health(snapshot, now)
    defects = tuple(find_defects(snapshot, now))
    failure = find_failure(snapshot) if bucket in _BROKEN else None
    waits = () if engine_of(snapshot).is_record else blockers(snapshot, now, workflow_path=workflow_path)
    if failure is not None and failure.kind == "none" and run.status != "failed":
        failure = None
    known = WhyRow(
        run_id=run.run_id,
        workflow=run.workflow,
        status=run.status,
        state=run_state(run, now),
        summary=reason,
        blockers=waits,
        folder=str(commands_folder(snapshot) or ""),
        failed_nodes=_failed_nodes(snapshot),
        defects=defects,
    )
    if failure is not None:
        known = replace(known, **_of_failure(snapshot, failure, defects, _Options(now, workflow_path)))
    elif engine_of(snapshot).is_record:
        known = replace(known, summary=ending(snapshot), evidence=cells_as_evidence(snapshot), advice=_run_again(snapshot))
        known = replace(known, failure_class="unknown" if run.status == INTERRUPTED else None)
    return replace(known, problems=tuple(f"{problem.where}: {problem.what}" for problem in snapshot.problems))


def _of_session(snapshot: Snapshot, session: SessionCourse) -> WhyRow:
    """Explain a session from its run alone: its records, which take long to read, say nothing more."""
    run = snapshot.run
    problems = tuple(f"{problem.where}: {problem.what}" for problem in snapshot.problems)
    return WhyRow(run_id=run.run_id, workflow=run.workflow, status=run.status, state=run.state, problems=problems, **vars(session))


class _Options(NamedTuple):
    now: int
    workflow_path: Path | None


def _of_failure(snapshot: Snapshot, failure: Failure, defects: tuple[Defect, ...], options: _Options) -> dict[str, Any]:
    classification = classify(failure)
    signature = failure.signatures[-1] if failure.signatures else ""
    tried = tried_in_vain(snapshot.source, snapshot.run.run_id, signature, options.now)
    path = None if options.workflow_path is None else str(options.workflow_path)
    recorded, text = workflow_source(snapshot.run, path)
    origin = find_origin(
        snapshot,
        failure,
        classification,
        line=thrown_line(failure, snapshot.run, text, recorded),
        source=text_that_ran(snapshot.run, text, recorded),
    )
    classification = in_hindsight(classification, origin, is_unexplained=is_unexplained(snapshot, failure, origin))
    cause = root_cause(failure, classification, defects, origin=origin, around=surroundings(snapshot, classification))
    return {
        "summary": cause,
        "root_cause": cause,
        "failure_class": classification.failure_class,
        "evidence": (*failure.evidence, *(origin.evidence if origin else ())),
        "good_input": origin.good_input if origin else None,
        "good_run": origin.good_run if origin else "",
        "failure": failure,
        "classification": classification,
        "advice": with_agent_session(
            advise(snapshot, failure, classification, tried=tried, workflow_path=path, origin=origin), snapshot, failure
        ),
        "reset_preview": _preview(snapshot, failure),
        "source": source_around(failure, text, recorded, snapshot.run.workflow_path),
    }


def _run_again(snapshot: Snapshot) -> Advice | None:
    """Suggest to run a notebook again that did not come to its end."""
    if snapshot.run.status == "finished":
        return None
    engine = engine_of(snapshot)
    return Advice(suggestion="retry", detail=after_a_stop(engine), commands=(engine.fresh_run(None, None),))


def _preview(snapshot: Snapshot, failure: Failure) -> ResetPreview | None:
    """Work out what a retry-task of the node that failed would set back, where nothing less tries it again."""
    if not engine_of(snapshot).replays:
        return None
    owner = owner_in(snapshot, failure)
    known = {(node.node_id, node.iteration) for node in snapshot.nodes}
    return reset_preview(snapshot, *owner) if owner in known and owner is not None else None


def _failed_nodes(snapshot: Snapshot) -> tuple[str, ...]:
    failed = [(node.node_id, node.iteration) for node in snapshot.nodes if node.state == "failed"]
    tried: dict[tuple[str, int], list[AttemptRow]] = {}
    for attempt in snapshot.attempts if failed else ():
        tried.setdefault((attempt.node_id, attempt.iteration), []).append(attempt)
    echoes = tried.keys() - without_echoes(snapshot, tried).keys()
    return tuple(f"{node}{f'#{iteration}' if iteration else ''}" for node, iteration in failed if (node, iteration) not in echoes)
