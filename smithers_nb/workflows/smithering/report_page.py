"""The evidence report: one page whose slides stay even where there is nothing to show, and say so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from smithers_nb.artifacts import write_whole
from smithers_nb.present.html.markup import Card, h, join, table, text_table
from smithers_nb.present.html.parts import note
from smithers_nb.workflows.monitor.report import page_of
from smithers_nb.workflows.smithering.build import read_index
from smithers_nb.workflows.smithering.evidence import WORK, Evidence, build_folder
from smithers_nb.workflows.smithering.progress import tickets_card
from smithers_nb.workflows.smithering.results import BuildSummary, FinalReport, Prd, ReviewSynthesis, Setup

if TYPE_CHECKING:
    from pathlib import Path

    from smithers_nb.workflows.smithering.proof import Proof
    from smithers_nb.workflows.smithering.work import Work

_COLUMNS: Final = ("Criterion", "Text", "Ticket", "Command", "Result", "Log", "Land commit")


def write_report(work: Work, proof: Proof, path: Path, ended: FinalReport | None = None) -> None:
    """Write the report.

    Args:
        work: The request.
        proof: Its clauses.
        path: The file.
        ended: How it ended; None while it waits at `gate:delivery`.
    """
    built = work.row("build:result", BuildSummary)
    states = read_index(work.artifacts, work.run_id)
    lead = ended.card() if ended else note(f"Waits at gate:delivery. {proof.summary}.")
    spec, reviewed = work.row("prd", Prd), work.rows.get("review:synthesis")
    failures = [(each.ticket_id, f"attempt {number}: {told}") for each in states for number, told in _in_vain(work, each.ticket_id)]
    risks = [*proof.blocking, *proof.known_issues, *(f"{name} was not built: {why}" for name, why in built.failed.items())]
    if isinstance(reviewed, ReviewSynthesis):
        risks += [reviewed.summary, *(f"{issue.severity}: {issue.title}" for issue in (*reviewed.must_fix, *reviewed.nice_to_have))]
    slides: list[tuple[str, Card]] = [
        ("What was asked for, and what was built", _lines([work.row("setup", Setup).prompt, spec.summary])),
        ("Tickets", tickets_card(states)),
        ("Key decisions", _pairs("Decisions", _decisions(work))),
        ("Requirements and their evidence", _matrix(proof)),
        ("Failures and retries, and how they were handled", _pairs("Attempts that did not land", failures)),
        ("Risks that remain", _lines(risks)),
        (
            "Next steps",
            _lines(
                [
                    f"git -C {work.repo} log --oneline {built.base[:12]}..{built.branch}",
                    f"git -C {work.repo} diff {work.parameters.base_branch}...{built.branch}",
                ]
            ),
        ),
    ]
    status = ended.status if ended else "waits for its delivery"
    page = page_of(slides, title=f"Smithering: {status}", subtitle=f"run {work.run_id}, {built.branch}", lead=lead)
    write_whole(path, page.encode("utf-8", "replace"))


def _matrix(proof: Proof) -> Card:
    rows = [
        (
            each.criterion_id,
            each.criterion,
            each.ticket_id,
            each.command,
            f"{each.status} {each.why}".strip(),
            each.log.rpartition("/")[2],
            each.commit[:12],
        )
        for each in proof.clauses
    ]
    if not rows:
        return _nothing()
    return Card(h("div", table(proof.summary, _COLUMNS, rows), class_="snb"), text_table(_COLUMNS, rows))


def _decisions(work: Work) -> list[tuple[str, str]]:
    """Who decided what at the gates, as the journal has it, and what workers say that they decided."""
    import sqlalchemy as sa

    from smithers_nb.engine.journal import Journal
    from smithers_nb.engine.journal.schema import approvals

    query = sa.select(approvals).where(approvals.c.run_id == work.run_id).order_by(approvals.c.requested_at_ms)
    with Journal.open(work.location) as journal, journal.reading() as connection:
        found = [
            (row.node_id, " ".join(filter(None, (row.status, "by", row.decided_by, f"({row.note})" if row.note else ""))))
            for row in connection.execute(query)
            if row.decided_by
        ]
    for state in read_index(work.artifacts, work.run_id):
        told: dict[str, Any] = Evidence(build_folder(work.artifacts, work.run_id), state.ticket_id).read(WORK) or {}
        found += [(state.ticket_id, str(each)) for each in told.get("decisions") or ()]
    return found


def _in_vain(work: Work, ticket_id: str) -> list[tuple[int, str]]:
    captures = Evidence(build_folder(work.artifacts, work.run_id), ticket_id).captures()
    return [(number, str(each.get("feedback") or "")[:500]) for number, each in enumerate(captures, 1) if each.get("pass") is False]


def _pairs(caption: str, rows: list[tuple[str, str]]) -> Card:
    if not rows:
        return _nothing()
    columns = ("Where", "What")
    return Card(h("div", table(caption, columns, rows), class_="snb"), text_table(columns, rows))


def _lines(lines: list[str]) -> Card:
    told = [line for line in lines if line]
    return Card(h("div", h("ul", *(h("li", line) for line in told)), class_="snb"), "\n".join(told)) if told else _nothing()


def _nothing() -> Card:
    return Card(join([h("p", "There is no data about this.", class_="snb snb-empty")]), "There is no data about this.")
