"""The monitor's stages as the notebook calls them; in a run of the journal each executes once and its row is stored.

In such a run the monitor waits at `approve-fix` for a person if fixing is allowed and there is something to fix. Anywhere else, such as
under plain papermill, nobody can be asked, and a fix that needs approval is not made.
"""

from __future__ import annotations

import os
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import orjson

from smithers_nb.engine.artifacts.store import put
from smithers_nb.engine.stages.context import ROOT, current
from smithers_nb.errors import SmithersNbError
from smithers_nb.model.timestamps import now_ms
from smithers_nb.redact import redact
from smithers_nb.sources.stores.json_text import as_object
from smithers_nb.workflows.autopsy.durable import artifacts_location, kept
from smithers_nb.workflows.monitor import diagnose as diagnosing
from smithers_nb.workflows.monitor import gather as gathering
from smithers_nb.workflows.monitor.report import compose
from smithers_nb.workflows.monitor.results import ArtifactRow, Diagnosis, FixRow, MonitorRow, MonitorSnapshot, ReportRow, TriageRow

if TYPE_CHECKING:
    from smithers_nb.engine.journal.decisions import Decision

GATHER, DIAGNOSE, APPROVE, FIX, REPORT, ARTIFACT, OUTPUT = "gather", "diagnose", "approve-fix", "fix", "report", "artifact", "output"
"""Node ids, the same as in Smithers' own monitor."""

TRIAGE: Final = "triage-run"
"""Node id of a triage that a notebook runs as a stage."""

WORKFLOW: Final = "monitor"
KIND: Final = "monitor"
"""Folder of the reports within the artifacts."""

_MAX_EARLIER: Final = 20


def gather(target_run_id: str | None, source: str | None = None, now: int | None = None) -> MonitorSnapshot:
    """Read what the store records about a run; see `monitor.gather`."""
    moment = now_ms() if now is None else now
    return kept(GATHER, MonitorSnapshot, "What the store says", lambda: gathering.gather(target_run_id, source, now=moment))


def diagnose(gathered: MonitorSnapshot, source: str | None = None, *, stale_minutes: float = 15, provider: str | None = None) -> Diagnosis:
    """Judge a run; see `monitor.diagnose`."""
    return kept(DIAGNOSE, Diagnosis, "How it is doing", lambda: _diagnosed(gathered, source, stale_minutes, provider))


def triage(target_run_id: str, source: str | None = None, now: int | None = None, *, stale_minutes: float = 15) -> TriageRow:
    """Recommend one thing to do about a run; see `triage.triage`."""
    from smithers_nb.workflows.monitor import triage as triaging

    moment = now_ms() if now is None else now
    step = partial(triaging.triage, target_run_id, source, now=moment, stale_minutes=stale_minutes)
    return kept(TRIAGE, TriageRow, "What to do about it", step)


def approve_fix(found: Diagnosis, *, autofix: bool, require_approval: bool = True) -> Decision | None:
    """Return a person's decision about the repair; None when no decision is needed or nobody can be asked.

    Raises:
        Parked: Nobody has decided yet.
    """
    repair = found.repair
    if not (autofix and found.wants_fix and repair and (require_approval or repair.always_asks)) or current() is None:
        return None
    from smithers_nb.workflows.notebook.api import gate

    about: dict[str, object] = {"command": repair.command, "why it is safe to try": repair.reason}
    if repair.kind == "fresh-run":
        about |= {"input before": _as_text(repair.before), "input after": _as_text(repair.after), "taken from": repair.basis}
    return gate(APPROVE, f"Auto-fix run {found.target_run_id}?", found.summary, about)


def fix(  # noqa: PLR0913  # mostly keyword-only options
    found: Diagnosis,
    gathered: MonitorSnapshot,
    decision: Decision | None = None,
    *,
    source: str | None = None,
    autofix: bool,
    require_approval: bool = True,
) -> FixRow | None:
    """Carry out the repair and check its effect; None when fixing is not allowed or there is nothing to fix."""
    if not (autofix and found.wants_fix and found.repair):
        return None
    return kept(FIX, FixRow, "The repair", lambda: _fixed(found, gathered, decision, source, require_approval=require_approval))


def report(gathered: MonitorSnapshot, found: Diagnosis, fixed: FixRow | None = None, title: str | None = None) -> ReportRow:
    """Render the report as one HTML page."""
    return kept(REPORT, ReportRow, "The report", lambda: compose(gathered, found, fixed, title))


def artifact(page: ReportRow, found: Diagnosis) -> ArtifactRow:
    """Store the report as an artifact named after the monitored run; the next report of that run replaces it.

    Raises:
        ArtifactsNotWritten: The report could not be written.
    """
    return kept(ARTIFACT, ArtifactRow, "Where the report is", lambda: _written(page, found))


def output(gathered: MonitorSnapshot, found: Diagnosis, fixed: FixRow | None = None, written: ArtifactRow | None = None) -> MonitorRow:
    """Return the monitor's stable output row."""
    return kept(OUTPUT, MonitorRow, "How it is doing, in one row", lambda: row_of(gathered, found, fixed, written))


def row_of(gathered: MonitorSnapshot, found: Diagnosis, fixed: FixRow | None = None, written: ArtifactRow | None = None) -> MonitorRow:
    """Build the output row."""
    actions = found.left_to_do(fixed)
    first = actions[0] if actions else None
    repaired = fixed if fixed and not fixed.new_run_id else None  # a fresh run does not change its target
    return MonitorRow(
        target_run_id=found.target_run_id,
        state=(repaired.state_after if repaired else "") or found.state,
        health=(repaired.health_after if repaired else None) or found.health,
        summary=f"{diagnosing.capitalised(fixed.summary)}. Before: {found.summary}" if fixed and fixed.applied else found.summary,
        waiting_on=found.waiting_on,
        root_cause=found.root_cause,
        recommended_action_count=len(actions),
        top_recommendation=(first.command or first.problem) if first else None,
        fix_applied=fixed is not None and fixed.applied,
        report_path=written.path if written else None,
        node_count=len(gathered.nodes),
        event_count=gathered.events.count,
        questions=found.questions,
        approvals=found.approvals,
        key_outputs=found.key_outputs,
        diffs=found.diffs,
        scores=found.scores,
        recommended_actions=actions,
        in_trouble=found.in_trouble,
        concerns=found.concerns,
        fix=fixed,
        problems=gathered.problems,
    )


def look(
    target_run_id: str | None, source: str | Path | None = None, *, now: int, stale_minutes: float = 15
) -> tuple[MonitorSnapshot, Diagnosis]:
    """Gather and diagnose a run in this process, without a notebook and without storing anything."""
    gathered = gathering.gather(target_run_id, source, now=now)
    return gathered, _diagnosed(gathered, None if source is None else str(source), stale_minutes, None)


def write_report(
    target_run_id: str, source: str | Path | None = None, *, artifacts: str | Path = "artifacts", now: int, title: str | None = None
) -> str:
    """Write the report of a run in any state, without a notebook.

    Returns:
        Path or URL of the report, `monitor/RUN.html` below `artifacts`.
    """
    gathered, found = look(target_run_id, source, now=now)
    page = compose(gathered, found, title=title)
    return put(artifacts, KIND, found.target_run_id or target_run_id, ".html", page.html.encode("utf-8", "replace"))


def _diagnosed(gathered: MonitorSnapshot, source: str | None, stale_minutes: float, provider: str | None) -> Diagnosis:
    if not gathered.ok:
        return diagnosing.unreadable(gathered)
    try:
        with gathering.opened(gathered, source) as snapshot:
            earlier = _earlier_fixes(snapshot.run_id)
            return diagnosing.diagnose(gathered, snapshot, stale_minutes=stale_minutes, provider=provider, earlier=earlier)
    except (SmithersNbError, OSError) as error:
        return diagnosing.unreadable(replace(gathered, summary=redact(str(error))))


def _fixed(found: Diagnosis, gathered: MonitorSnapshot, decision: Decision | None, source: str | None, *, require_approval: bool) -> FixRow:
    from smithers_nb.workflows.monitor.fixing import apply

    command = found.repair.command if found.repair else None
    if decision is not None and not decision.approved:
        why = f": {decision.note}" if decision.note else ""
        summary = f"{decision.decided_by} decided against it{why}"
        return FixRow(target_run_id=found.target_run_id, applied=False, summary=summary, still_needs_human=command)
    if decision is None and (require_approval or (found.repair is not None and found.repair.always_asks)):
        summary = "nothing was done: a repair needs a person's approval, and nobody can be asked outside a durable run"
        return FixRow(target_run_id=found.target_run_id, applied=False, summary=summary, still_needs_human=command)
    assert found.repair is not None
    return apply(found.repair, gathered, source)


def _as_text(fields: dict[str, Any]) -> str:
    """Render input fields as one line, which every view of a gate can show."""
    return ", ".join(f"{name} = {orjson.dumps(value).decode()}" for name, value in fields.items())


def _written(page: ReportRow, found: Diagnosis) -> ArtifactRow:
    content = page.html.encode("utf-8", "replace")
    folder = artifacts_location() or str(Path(os.environ.get(ROOT) or ".").absolute() / "artifacts")
    run = current()
    path = put(folder, KIND, found.target_run_id or (run.run_id if run else "none"), ".html", content)
    return ArtifactRow(path=path, bytes=len(content), digest=f"{page.title} / {page.health} / {page.section_count} sections / {path}")


def _earlier_fixes(target_run_id: str) -> list[FixRow]:
    """Read what the newest monitors of this journal did about a run, newest first."""
    import sqlalchemy as sa

    from smithers_nb.engine.journal.schema import outputs, runs

    run = current()
    if run is None:
        return []
    query = (
        sa.select(outputs.c.row_json)
        .join(runs, runs.c.run_id == outputs.c.run_id)
        .where(outputs.c.node_id == FIX, runs.c.workflow_name == WORKFLOW)
        .order_by(runs.c.created_at_ms.desc())
        .limit(_MAX_EARLIER)
    )
    with run.journal.reading() as connection:
        rows = [as_object(text) for text in connection.execute(query).scalars()]
    return [FixRow.read(row) for row in rows if row.get("targetRunId") == target_run_id]
