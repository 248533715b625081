"""Why a run failed, in four stages: gather → investigate → bug gate → verdict.

The same functions serve the notebook, one per cell, and `run_autopsy`, which gives the row alone. Each gets what the one before it
gave, reads the store at most once, and changes nothing anywhere.
"""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from smithers_nb._version import __version__
from smithers_nb.diagnosis.advice.error_summary import error_summary
from smithers_nb.diagnosis.advice.root_cause import root_cause, summary
from smithers_nb.diagnosis.advice.suggest import advise
from smithers_nb.diagnosis.classify.classify import classify
from smithers_nb.diagnosis.classify.probes import probe
from smithers_nb.diagnosis.defects.detectors import find_defects
from smithers_nb.diagnosis.failure.error_chain import clean_message
from smithers_nb.diagnosis.failure.root_failure import find_failure
from smithers_nb.diagnosis.history.lineage import find_origin
from smithers_nb.diagnosis.history.origins import in_hindsight, is_unexplained
from smithers_nb.diagnosis.state.conditions import run_state
from smithers_nb.diagnosis.state.task_graph import task_graph
from smithers_nb.engine.notebook.executor import validated
from smithers_nb.errors import ParameterError
from smithers_nb.model.bug_report import BugOutcome
from smithers_nb.model.finding import with_texts
from smithers_nb.model.rows import RunRow
from smithers_nb.model.timestamps import when
from smithers_nb.redact import redact, redact_value
from smithers_nb.sources.locate import open_source
from smithers_nb.sources.snapshot import Snapshot
from smithers_nb.sources.stores.json_text import as_object
from smithers_nb.workflows.autopsy.agent_session import explained_by_log, with_agent_session
from smithers_nb.workflows.autopsy.eligibility import refuse_unless_failed
from smithers_nb.workflows.autopsy.excerpts import (
    compact_attempts,
    last_events,
    milestones,
    source_around,
    source_line,
    surroundings,
    text_that_ran,
    thrown_line,
    workflow_source,
)
from smithers_nb.workflows.autopsy.lookback import look_back
from smithers_nb.workflows.autopsy.parameters import AutopsyParameters
from smithers_nb.workflows.autopsy.results import GateCard, Gathered, Investigation, VerdictRow
from smithers_nb.workflows.autopsy.second_opinion import consulted
from smithers_nb.workflows.bugs.endpoint import endpoint_for
from smithers_nb.workflows.bugs.report import report_on

if TYPE_CHECKING:
    from smithers_nb.sources.base import Source

_CHOICE = 15
"""Failed runs that are offered where none is named."""
_ENGINES: Final = {"journal": "smithers-nb", "dbos": "DBOS"}
"""Engines other than Smithers, whose makers have nothing to do with their bugs."""


def run_autopsy(
    source: Source | str | Path | None,
    run_id: str,
    *,
    workflow_path: str | Path | None = None,
    now: int | str | None = None,
    provider: str | None = None,
) -> VerdictRow:
    """Find out why a run failed, without a notebook.

    Args:
        source: Where it lives: an open source, a path, a URL, or None for the current folder.
        run_id: Its id; a unique beginning is enough.
        workflow_path: The workflow's file, when it is not where the run was started.
        now: Judge as of this time, epoch milliseconds or ISO; the clock by default.
        provider: Who investigates: `internal`, `remote_llm` or `codex_exec`; `AGENT_PROVIDER`, else `internal`, by default.

    Raises:
        ParameterError: One of these is wrong.
        RunNotFound: No run has this id.
        RunNotFailed: The run did not fail.
        SourceError: The store cannot be read.
    """
    validated(AutopsyParameters, {"target_run_id": run_id, "provider": provider})
    gathered = gather(run_id, source, workflow_path, now)
    try:
        found = investigate(gathered, provider)
        return verdict(found, bug_gate(found, gathered))
    finally:
        if isinstance(source, str | Path | None):
            gathered.open().close()


def gather(
    target_run_id: str, source: Source | str | Path | None = None, workflow_path: str | Path | None = None, now: int | str | None = None
) -> Gathered:
    """Read what the store says about a failed run, without judging it.

    Raises:
        ParameterError: One of the parameters is wrong.
        RunNotFound: No run has this id.
        RunNotFailed: The run did not fail.
        SourceError: The store cannot be read.
    """
    place = source if isinstance(source, str | Path | None) else None
    if target_run_id == "":
        raise ParameterError("target_run_id: name the run to look at", hint=_failed_runs(source))
    asked = validated(AutopsyParameters, {"target_run_id": target_run_id, "source": place, "workflow_path": workflow_path, "now": now})
    opened = open_source(asked.source) if isinstance(source, str | Path | None) else source
    snapshot = Snapshot(opened, asked.target_run_id)
    if opened not in (source, snapshot.source):
        opened.close()  # of several stores only the one that has the run is read on
    opened = snapshot.source
    refuse_unless_failed(snapshot, asked.moment)
    run = snapshot.run
    path, text = workflow_source(run, asked.workflow_path)
    return Gathered(
        target_run_id=run.run_id,
        source=opened.location,
        workflow=run.workflow,
        workflow_path=path,
        recorded_path=run.workflow_path,
        status=run.status,
        state=run_state(run, asked.moment),
        started_at=run.started_at,
        finished_at=run.finished_at,
        run_error=redact(clean_message(run.error_message or "")),
        last_events=last_events(snapshot),
        workflow_source=text,
        smithers_version=getattr(opened, "version", ""),
        now=asked.moment,
        problems=_problems(opened),
    ).read_from(opened)


def _failed_runs(source: Source | str | Path | None) -> str:
    """List the newest failed runs of a store, for somebody who has opened the notebook and knows no id."""
    opened = open_source(source) if isinstance(source, str | Path | None) else source
    lines = [f"  {label}" for label in newest_failed(opened).values()]
    return "\n".join(["The newest failed runs:", *lines]) if lines else f"There is no failed run in {opened.location}."


def newest_failed(source: Source) -> dict[str, str]:
    """Name the newest failed runs of a store: id to one line with workflow and end."""
    from smithers_nb.workflows.batch.local import failed_runs

    newest = failed_runs(source)[:_CHOICE]
    rows = {row.run_id: row for row in source.rows(RunRow, only={"run_id": newest})} if newest else {}
    return {run_id: f"{run_id}  {rows[run_id].workflow or ''}  {when(rows[run_id].finished_at)}".rstrip() for run_id in newest}


def investigate(gathered: Gathered, provider: str | None = None) -> Investigation:
    """Find the failure that mattered, whose fault it is, and what history says about it; then ask the provider, if there is one.

    Raises:
        ParameterError: There is no such provider, or something it needs is missing or malformed.
        SourceError: The store cannot be read any more.
    """
    asked = validated(AutopsyParameters, {"target_run_id": gathered.target_run_id, "provider": provider})
    source = gathered.open()
    snapshot = Snapshot(source, gathered.target_run_id)
    failure = find_failure(snapshot)
    classification = classify(failure)
    defects = find_defects(snapshot, gathered.now)
    seen_here = probe(failure, root=snapshot.run.root)
    past = look_back(source, gathered.target_run_id, failure.signatures[-1] if failure.signatures else "", gathered.now)
    line = thrown_line(failure, snapshot.run, gathered.workflow_source, gathered.workflow_path)
    ran = text_that_ran(snapshot.run, gathered.workflow_source, gathered.workflow_path)
    origin = find_origin(snapshot, failure, classification, line=line, source=ran)
    classification = in_hindsight(classification, origin, is_unexplained=is_unexplained(snapshot, failure, origin))
    found = Investigation(
        target_run_id=gathered.target_run_id,
        workflow=gathered.workflow,
        root_cause=redact(
            root_cause(failure, classification, defects, seen_here, origin=origin, around=surroundings(snapshot, classification))
        ),
        failure=replace(failure, evidence=(*failure.evidence, *(origin.evidence if origin else ()), *source_line(failure, gathered))),
        classification=classification,
        advice=with_agent_session(
            advise(snapshot, failure, classification, tried=past.tried, workflow_path=gathered.workflow_path, origin=origin),
            snapshot,
            failure,
        ),
        defects=tuple(defects),
        last_good_run=past.last_good_run,
        changed_since=past.changed_since,
        recurrence=past.recurrence,
        recent_runs=past.recent,
        seen_here=seen_here,
        attempts=compact_attempts(snapshot, failure),
        nodes=with_texts(tuple(node for node in snapshot.nodes if node.label), redact_value),
        approvals=with_texts(tuple(snapshot.approvals), redact_value),
        questions=with_texts(tuple(snapshot.questions), redact_value),
        milestones=milestones(snapshot),
        smithers_version=gathered.smithers_version,
        versions=_versions(snapshot, gathered),
        problems=tuple(dict.fromkeys((*gathered.problems, *_problems(source)))),
        tasks=task_graph(snapshot, failure, origin.producer if origin else ""),
        error_summary=error_summary(failure, snapshot.attempts),
        source=source_around(failure, gathered.workflow_source, gathered.workflow_path, gathered.recorded_path),
    )
    return consulted(explained_by_log(found, snapshot), gathered, snapshot, provider=asked.provider, tried=past.tried, origin=origin)


def bug_gate(investigation: Investigation, gathered: Gathered | None = None) -> GateCard:
    """Show what a person is asked before a bug of the engine is reported, with the report itself; nothing is sent.

    Args:
        investigation: What was found.
        gathered: Where it was found; without it the report has no events of the run.
    """
    found = investigation.classification
    if found.failure_class != "smithers-bug":
        reason = f"Nothing to ask: the failure is classed {found.failure_class}, and only a suspected bug of the engine would be reported."
        return GateCard(target_run_id=investigation.target_run_id, needed=False, reason=reason)
    if engine := investigation.versions.get("engine"):
        by_hand = f"`smithers-nb bug --run {shlex.quote(investigation.target_run_id)}` writes a report to a file."
        reason = f"Nothing to ask: this is a run of {engine}, and the makers of Smithers have nothing to do with it. {by_hand}"
        return GateCard(target_run_id=investigation.target_run_id, needed=False, reason=reason)
    payload = report_on(investigation, gathered)
    return GateCard(
        target_run_id=investigation.target_run_id,
        needed=True,
        title=payload["title"],
        body=payload["body"],
        payload=payload,
        endpoint=endpoint_for(),
        reason="The engine itself is suspected. Nothing leaves this machine unless a person agrees.",
    )


def verdict(investigation: Investigation, gate: GateCard, report: BugOutcome | None = None) -> VerdictRow:
    """Write the autopsy's stable output row; secrets are taken out of all of it.

    Args:
        investigation: What was found.
        gate: What was asked about it.
        report: What became of the report; none when no report was requested or sent.
    """
    report = report if report and gate.needed else BugOutcome(filed=False)
    found, advice = investigation.classification, investigation.advice
    row = VerdictRow(
        target_run_id=investigation.target_run_id,
        failure_class=found.failure_class,
        confidence=found.confidence,
        root_cause=investigation.root_cause,
        suggestion=advice.suggestion,
        suggestion_detail=advice.detail,
        commands=advice.commands,
        bug_filed=report.filed,
        bug_id=report.bug_id,
        bug_url=report.bug_url,
        summary=summary(found, investigation.failure, advice.suggestion),
        evidence=investigation.evidence,
        signature=investigation.signature,
        hypotheses=found.hypotheses,
        source=investigation.source,
        recurrence=investigation.recurrence,
        last_good_run=investigation.last_good_run,
        changed_since=investigation.changed_since,
        rule=found.rule,
        defects=investigation.defects,
        problems=investigation.problems,
        error_summary=investigation.error_summary,
        authors=investigation.authors,
        provider_notes=investigation.provider_notes,
        versions=investigation.versions,
    )
    return with_texts(row, redact_value)


def _versions(snapshot: Snapshot, gathered: Gathered) -> dict[str, str]:
    """Describe what the run was started with, as far as its store says so, and who looks into it."""
    found: dict[str, str] = {}
    if snapshot.source.kind in _ENGINES:
        recorded = as_object(snapshot.run.config).get("versions")
        known = {name: str(value) for name, value in recorded.items()} if isinstance(recorded, dict) else {}
        found = {"engine": _ENGINES[snapshot.source.kind], **known}
    schema = {"schema": gathered.smithers_version} if gathered.smithers_version else {}
    return {**found, **schema, "autopsy": f"smithers-nb {__version__}"}


def _problems(source: Source) -> tuple[str, ...]:
    return tuple(redact(f"{problem.where}: {problem.what}") for problem in source.problems)
