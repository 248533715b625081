"""The autopsy as a durable run: the stages of `workflows.autopsy.stages`, each kept, with a person between a suspicion and a report.

`notebooks/autopsy.ipynb` calls these functions. In a run of the journal, which is what a trigger launches, each finished step is kept and
the run waits at `approve-bug-report`; anywhere else, in `smithers-nb autopsy`, under plain papermill or by hand, they just look, and
nobody is asked anything. What surrounds such a run, its launch and its report, is in `aftermath`.
"""

from __future__ import annotations

import shlex
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from smithers_nb.engine.artifacts.store import address
from smithers_nb.engine.stages.context import ROOT, current
from smithers_nb.errors import SourceError
from smithers_nb.model.bug_report import outcome_of
from smithers_nb.model.finding import described
from smithers_nb.sources.locate import open_source
from smithers_nb.workflows.autopsy import stages
from smithers_nb.workflows.autopsy.results import NOTHING_TO_REPORT, GateCard, Gathered, Investigation, ReportRow, VerdictRow

if TYPE_CHECKING:
    from collections.abc import Callable

    from smithers_nb.engine.journal.decisions import Decision

T = TypeVar("T")

GATHER, INVESTIGATE, PROPOSE, APPROVE, REPORT, OUTPUT = (
    "gather",
    "investigate",
    "propose-bug-report",
    "approve-bug-report",
    "report-bug",
    "output",
)
"""Node ids, those of Smithers' own autopsy and `propose-bug-report`, which keeps what exactly a person is asked about."""

KIND: Final = "autopsy"
"""Folder of reports among the artifacts."""


_UNKNOWN: Final = (
    "The process that sent the report died on the way: whether {} has it is not known, and it is not sent twice. This sends it again:"
)


class PostFailureRow(VerdictRow):
    """Output row of a post-failure run: the verdict, and where it is written down."""

    report: str = described("the autopsy as one HTML file")


def gather(target_run_id: str, source: str | None = None, workflow_path: str | None = None, now: int | str | None = None) -> Gathered:
    """Read what the store says about a failed run; see `autopsy.gather`. Without an id, a person before the notebook chooses one."""
    if target_run_id == "":
        from smithers_nb.workflows.autopsy.choice import chosen_run

        target_run_id = chosen_run(source)
    row = kept(GATHER, Gathered, "What the store says", lambda: stages.gather(target_run_id, source, workflow_path, now))
    if current() is not None and not Path(row.source).exists():
        with suppress(SourceError):  # a server is opened again as it was first: where it is said to be has no password
            row.read_from(open_source(source))
    return row


def investigate(gathered: Gathered, provider: str | None = None) -> Investigation:
    """Find what failed, why, and whose fault it is; see `autopsy.investigate`."""
    return kept(INVESTIGATE, Investigation, "What failed, and why", lambda: stages.investigate(gathered, provider))


def bug_gate(found: Investigation, gathered: Gathered) -> GateCard:
    """Show what a person is asked before a bug of the engine is reported; nothing is sent."""
    if found.classification.failure_class != "smithers-bug":
        return stages.bug_gate(found, gathered)
    return kept(PROPOSE, GateCard, "What a report would say", lambda: stages.bug_gate(found, gathered))


def report_bug(card: GateCard, gathered: Gathered) -> ReportRow:
    """Wait for a person's decision and do what it says: send exactly what was shown, or nothing.

    Args:
        card: What is asked.
        gathered: Where the run lives; a report that is not taken is kept in its project.

    Returns:
        What became of the report. Outside a run of the journal nobody is asked and nothing is sent; then it says how to send it by hand.

    Raises:
        Parked: Nobody has decided yet.
    """
    if not card.needed:
        return ReportRow(filed=False, detail=NOTHING_TO_REPORT)
    if current() is None:
        detail = "Nobody is asked here, so nothing is sent. This sends it, after showing it:"
        return ReportRow(filed=False, detail=detail, command=_by_hand(card, gathered))
    decision = _asked(card)
    if not decision.approved:
        why = f": {decision.note}" if decision.note else ""
        return ReportRow(filed=False, detail=f"{decision.decided_by} decided to send nothing{why}")
    return kept(REPORT, ReportRow, "The report", lambda: _filed(card, gathered))


def verdict(found: Investigation, card: GateCard, filed: ReportRow | None = None) -> VerdictRow:
    """Write the autopsy's stable output row; see `autopsy.verdict`."""
    if current() is None:
        return stages.verdict(found, card, filed)
    row: VerdictRow = kept(OUTPUT, PostFailureRow, "What to do", lambda: _with_report(stages.verdict(found, card, filed)))
    return row


def report_of(root: Path, target_run_id: str, artifacts: str | None = None) -> str:
    """Name the HTML file or URL of a post-failure run: of the run that failed, so that a second autopsy of it replaces the first.

    Args:
        root: The project's folder.
        target_run_id: The run that failed.
        artifacts: Folder or URL that the autopsy writes to; `artifacts` in the project by default.
    """
    return address(artifacts or root / "artifacts", KIND, target_run_id, ".html")


def kept(node_id: str, schema: type[T], label: str, step: Callable[[], T]) -> T:
    """Take a step: once per run in a run of the journal, else simply."""
    if current() is None:
        return step()
    from smithers_nb.engine.stages import stage

    row: T = stage(node_id, step, schema=schema, label=label)
    return row


def _asked(card: GateCard) -> Decision:
    from smithers_nb.engine.stages import gate

    return gate(
        APPROVE,
        "The engine itself is suspected: report it to its makers?",
        f"{card.title}\n\n{card.reason} Approve to send the report to {card.endpoint}; deny to keep the verdict and send nothing.",
        {"endpoint": card.endpoint, "payload": card.payload},
    )


def _filed(card: GateCard, gathered: Gathered) -> ReportRow:
    from smithers_nb.workflows.bugs.filing import file_bug, project_folder

    if _was_cut_off():
        return ReportRow(filed=False, detail=_UNKNOWN.format(card.endpoint), command=f"{_by_hand(card, gathered)} --again")
    outcome = outcome_of(file_bug(card.payload or {}, endpoint=card.endpoint, root=project_folder(gathered.source)))
    return ReportRow(**vars(outcome))


def _was_cut_off() -> bool:
    """Return whether an execution that died was sending already; a person agreed to one report, so it is not sent again."""
    import sqlalchemy as sa

    from smithers_nb.engine.journal.schema import attempts
    from smithers_nb.sources.stores.json_text import as_object

    run = current()
    if run is None:
        return False
    mine = (attempts.c.run_id == run.run_id, attempts.c.node_id == REPORT, attempts.c.state == "cancelled")
    with run.journal.reading() as connection:
        before = connection.execute(sa.select(attempts.c.meta_json).where(*mine).order_by(attempts.c.attempt.desc())).first()
    return before is not None and not as_object(before.meta_json).get("resetCancelled")


def _by_hand(card: GateCard, gathered: Gathered) -> str:
    return f"smithers-nb bug --run {shlex.quote(card.target_run_id)} --source {shlex.quote(gathered.source)}"


def _with_report(row: VerdictRow) -> PostFailureRow:
    import os

    root = Path(os.environ.get(ROOT) or ".")
    return PostFailureRow(**vars(row), report=report_of(root.absolute(), row.target_run_id, artifacts_location()))


def artifacts_location() -> str | None:
    """Return the folder or URL that this run was given for artifacts; None when none was given, or there is no run."""
    import sqlalchemy as sa

    from smithers_nb.engine.artifacts.delivery import artifacts_of
    from smithers_nb.engine.journal.schema import runs
    from smithers_nb.sources.stores.json_text import as_object

    run = current()
    if run is None:
        return None
    with run.journal.reading() as connection:
        config = connection.execute(sa.select(runs.c.config_json).where(runs.c.run_id == run.run_id)).scalar()
    return artifacts_of(as_object(config))
