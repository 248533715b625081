"""`beads`: work items, why they failed, and which reasons a fleet loses, of our ledger or of exports and logs of bd, gascity and gt."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from smithers_nb.cli.options import Asked, Moment, Utf8, command, group
from smithers_nb.cli.output import Column, moment, note, print_rows, write_json
from smithers_nb.errors import ParameterError

if TYPE_CHECKING:
    from smithers_nb.diagnosis.beads.audit import Audit

_OVER = 1

_FAIL_OVER = click.option(
    "--fail-over",
    "limits",
    multiple=True,
    metavar="COUNT=N",
    help="Exit 1 when a count is above N, such as closes_no_reason=0; may be given several times.",
)
_EVIDENCE = click.option(
    "--rows", type=click.IntRange(min=0), help="Rows of evidence per count.  [default: all in JSON, 20 in all in the table]"
)
_REPORT = click.option("--report", type=click.Path(dir_okay=False), help="Also write the audit as an HTML page to this file.")


@command(
    "audit",
    _FAIL_OVER,
    _EVIDENCE,
    _REPORT,
    example="""smithers-nb beads audit --source beads:.beads
smithers-nb beads audit --source beads:backup/events.jsonl --format json
smithers-nb beads audit --source beads:. --fail-over closes_no_reason=0 --fail-over give_backs_no_reason=10""",
)
def audit(ask: Asked, limits: tuple[str, ...], rows: int | None, report: str | None) -> int | None:
    """Find the reasons that a fleet loses: closes, give-backs and reopens that say nothing, and reasons that were overwritten.

    A count that the store cannot show is null, and `coverage` says why. Exit code 1 when a count is above its --fail-over.
    """
    bounds = dict(map(_limit, limits))
    with ask.project() as project:
        found = project.audit()
        where = project.source.location
    if report is not None:
        _write_report(report, found, where)
    if ask.fmt == "table":
        from smithers_nb.present.html.bead_cards import audit_card

        click.echo(audit_card(found, 20 if rows is None else rows).text)
    else:
        write_json(found.as_json(rows), line=ask.fmt == "jsonl")
    over = found.over(bounds)
    if over:
        note(f"over the limit: {', '.join(over)}")
    return _OVER if over else None


@command(
    "list",
    click.option("--status", type=Utf8(), multiple=True, help="Only beads with this status; may be given several times."),
    click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="The newest so many."),
    example="""smithers-nb beads list --source beads:.beads
smithers-nb beads list --source beads:.beads --status in_progress --status hooked""",
)
def list_(ask: Asked, status: tuple[str, ...], limit: int) -> None:
    """List work items, the last changed first."""
    from smithers_nb.model.beads import BeadRow

    with ask.project() as project:
        found = project.source.rows(BeadRow, only={"status": status} if status else None)
        found.sort(key=lambda row: (row.updated_at or 0, row.bead_id), reverse=True)
        columns = (
            Column("BEAD", lambda row: row.bead_id),
            Column("STATUS", lambda row: row.status, state=True),
            Column("TYPE", lambda row: row.type, spare=3),
            Column("HELD BY", lambda row: row.assignee, spare=2),
            Column("CHANGED (UTC)", lambda row: moment(row.updated_at), spare=4),
            Column("REASON", lambda row: _reason(row.reason_code, row.reason), spare=1),
            Column("TITLE", lambda row: row.title, grow=True),
        )
        print_rows(found[:limit], ask.fmt, columns, nothing="no beads")


@command(
    "activity",
    click.option("--since", type=Moment(ago=True), help="Only since this time: epoch milliseconds, ISO 8601, or 15m, 2h, 1d ago."),
    click.option("--failures", "only_failures", is_flag=True, help="Only failures and what is one in another system's words."),
    click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="The newest so many."),
    example="""smithers-nb beads activity --source beads:.gc
smithers-nb beads activity --source beads:.gc --failures --since 1d""",
)
def activity(ask: Asked, since: int | None, only_failures: bool, limit: int) -> None:
    """Show what happened to work items, newest first, with the reason of every failure."""
    from smithers_nb.model.beads import BeadEventRow

    with ask.project() as project:
        found = project.source.rows(BeadEventRow, since_ms=since)
        found = [row for row in found if not only_failures or row.reason_code or row.new_status == "failed"]
        found.sort(key=lambda row: (row.at or 0, row.seq), reverse=True)
        columns = (
            Column("AT (UTC)", lambda row: moment(row.at), spare=3),
            Column("BEAD", lambda row: row.bead_id),
            Column("EVENT", lambda row: row.type),
            Column("STATUS", lambda row: row.new_status, spare=1),
            Column("BY", lambda row: row.actor, spare=2),
            Column("WHY", lambda row: _reason(row.reason_code, row.reason), grow=True),
        )
        print_rows(found[:limit], ask.fmt, columns, nothing="no events")


@command("show", click.argument("bead", type=Utf8()), example="smithers-nb beads show gt-1 --source beads:.beads")
def show(ask: Asked, bead: str) -> None:
    """Show one work item: why it failed, and all that happened to it."""
    from smithers_nb.model.beads import BeadEventRow, BeadRow
    from smithers_nb.present.html.bead_cards import bead_card

    with ask.project() as project:
        beads = project.source.rows(BeadRow, only={"bead_id": [bead]})
        events = sorted(project.source.rows(BeadEventRow, only={"bead_id": [bead]}), key=lambda row: (row.at or 0, row.seq))
        if not beads and not events:
            raise ParameterError(f"no bead {bead!r} in {project.source.location}", hint="list them with `smithers-nb beads list`")
        if ask.fmt != "table":
            write_json(
                {"bead": beads[0]._asdict() if beads else None, "events": [row._asdict() for row in events]}, line=ask.fmt == "jsonl"
            )
            return
        row = beads[0] if beads else BeadRow(bead, None, events[-1].new_status or "", None, *(None,) * 8, 0, None)
        click.echo(bead_card(row, None, events).text)


def _limit(text: str) -> tuple[str, int]:
    from smithers_nb.diagnosis.beads.audit import THRESHOLDS

    name, _, number = text.partition("=")
    if not number.isdecimal() or name not in THRESHOLDS:
        raise ParameterError(f"--fail-over {text!r} is not COUNT=N", hint=f"COUNT is one of {', '.join(THRESHOLDS)}")
    return name, int(number)


def _write_report(path: str, found: Audit, where: str) -> None:
    from pathlib import Path

    from smithers_nb.present.html.bead_cards import audit_card
    from smithers_nb.present.html.markup import escape

    body = audit_card(found, len(found.evidence))._repr_html_()
    title = f"Reasons of {where}"
    head = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title>'
    Path(path).write_text(f"{head}<body><h1>{escape(title)}</h1>{body}</body></html>", encoding="utf-8")


def _reason(code: str | None, text: str | None) -> str:
    return ": ".join(part for part in (code, text) if part)


beads = group("beads", audit, list_, show, activity, help="Work items: why they failed, and which reasons a fleet loses.")
