"""`beads`: work items, why they failed, and which reasons a fleet loses, of our ledger or of exports and logs of bd, gascity and gt."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from smithers_nb.cli.options import CommandContext, Moment, Utf8, command, group
from smithers_nb.cli.output import Column, dump, moment, note, print_rows, write_json
from smithers_nb.errors import ParameterError

if TYPE_CHECKING:
    from smithers_nb.ledger import Ledger
    from smithers_nb.present.html.markup import Card
    from smithers_nb.workflows.beads import BeadStore

_OVER = 1

_BEAD = click.argument("bead", type=Utf8())
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
_REPORT = click.option("--report", type=click.Path(dir_okay=False), help="Also write it as an HTML page to this file.")


@command(
    "audit",
    _FAIL_OVER,
    _EVIDENCE,
    _REPORT,
    example="""smithers-nb beads audit --source beads:.beads
smithers-nb beads audit --source beads:backup/events.jsonl --format json
smithers-nb beads audit --source beads:. --fail-over closes_no_reason=0 --fail-over give_backs_no_reason=10""",
)
def audit(ask: CommandContext, limits: tuple[str, ...], rows: int | None, report: str | None) -> int | None:
    """Find the reasons that a fleet loses: closes, give-backs and reopens that say nothing, and reasons that were overwritten.

    A count that the store cannot show is null, and `coverage` says why. Exit code 1 when a count is above its --fail-over.
    """
    from smithers_nb.present.html.bead_cards import audit_card

    bounds = dict(map(_limit, limits))
    with _store(ask) as store:
        found = store.audit()
        where = store.location
    if report is not None:
        _write_report(report, f"Reasons of {where}", audit_card(found, len(found.evidence)))
    if ask.fmt == "table":
        click.echo(audit_card(found, 20 if rows is None else rows).text)
    else:
        write_json(found.as_json(rows), line=ask.fmt == "jsonl")
    untold = [name for name in bounds if found.counts.get(name) is None]
    if untold:
        note(f"not checked, because this store cannot show it: {', '.join(untold)}")
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
def list_(ask: CommandContext, status: tuple[str, ...], limit: int) -> None:
    """List work items, the last changed first."""
    with _store(ask) as store:
        found = store.beads(status=status, limit=limit)
        columns = (
            Column("BEAD", lambda row: row.bead_id),
            Column("STATUS", lambda row: row.status, state=True),
            Column("TYPE", lambda row: row.type, spare=3),
            Column("HELD BY", lambda row: row.assignee, spare=2),
            Column("CHANGED (UTC)", lambda row: moment(row.updated_at), spare=4),
            Column("REASON", lambda row: _reason(row.reason_code, row.reason), spare=1),
            Column("TITLE", lambda row: row.title, grow=True),
        )
        print_rows(found, ask.fmt, columns, nothing="no beads")


@command(
    "activity",
    click.option("--since", type=Moment(ago=True), help="Only since this time: epoch milliseconds, ISO 8601, or 15m, 2h, 1d ago."),
    click.option("--failures", "only_failures", is_flag=True, help="Only failures and what is one in another system's words."),
    click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="The newest so many."),
    _REPORT,
    example="""smithers-nb beads activity --source beads:.gc
smithers-nb beads activity --source beads:.gc --failures --since 1d""",
)
def activity(ask: CommandContext, since: int | None, only_failures: bool, limit: int, report: str | None) -> None:
    """Show what happened to work items, newest first, with the reason of every failure."""
    with _store(ask) as store:
        found = store.events(since_ms=since, failures=only_failures, limit=limit)
        if report is not None:
            from smithers_nb.present.html.bead_cards import activity_card

            _write_report(report, f"Activity of {store.location}", activity_card(found))
        columns = (
            Column("AT (UTC)", lambda row: moment(row.at), spare=3),
            Column("BEAD", lambda row: row.bead_id),
            Column("EVENT", lambda row: row.type),
            Column("STATUS", lambda row: row.new_status, spare=1),
            Column("BY", lambda row: row.actor, spare=2),
            Column("WHY", lambda row: _reason(row.reason_code, row.reason), grow=True),
        )
        print_rows(found, ask.fmt, columns, nothing="no events")


@command(
    "show",
    _BEAD,
    click.option(
        "--provider",
        type=Utf8(),
        help="Have the failure put into plain words, where it is long or its errors differ: remote_llm asks a model, codex_exec runs an"
        " agent CLI. The words are stored in the ledger next to the reason.",
    ),
    _REPORT,
    example="""smithers-nb beads show gt-1 --source beads:.beads
smithers-nb beads show gt-1 --source beads:.beads --report gt-1.html
smithers-nb beads show sb-1 --provider codex_exec""",
)
def show(ask: CommandContext, bead: str, provider: str | None, report: str | None) -> None:
    """Show one work item: why it failed, and all that happened to it."""
    from smithers_nb.workflows.beads import found_bead, show_bead

    if provider is not None:
        _summarise(ask, bead, provider)
    with _store(ask) as store:
        card = show_bead(store, bead)
        if report is not None:
            _write_report(report, f"Bead {bead}", card)
        if ask.fmt == "table":
            click.echo(card.text)
        else:
            why = store.failure_of(bead)
            events = list(reversed(store.events(bead_id=bead)))
            reason = why.model_dump() if why else None
            told = {"failureReason": reason, "summary": store.summary_of(bead) or None}
            write_json({**dump({"bead": found_bead(store, bead), "events": events}), **told}, line=ask.fmt == "jsonl")


@command("convoys", _REPORT, example="smithers-nb beads convoys")
def convoys(ask: CommandContext, report: str | None) -> None:
    """Show how far the ledger's convoys are: closed, failed, landed, or landed with failures."""
    from smithers_nb.ledger.convoys import listed
    from smithers_nb.present.html.bead_cards import convoys_card

    with _ledger(ask) as ledger, ledger.reading() as connection:
        rows = listed(connection)
    if report is not None:
        _write_report(report, "Convoys", convoys_card(rows))
    if ask.fmt == "table":
        click.echo(convoys_card(rows).text)
    else:
        write_json(dump(rows), line=ask.fmt == "jsonl")


_REASON = click.option("--reason", "-r", required=True, type=Utf8(), help="Why; it stays in the log.")
_AS = click.option("--as", "actor", type=Utf8(), help="Who decides.  [default: your login]")


@command(
    "fail", click.argument("bead", type=Utf8()), _REASON, _AS, example='smithers-nb beads fail sb-1 --reason "the feature was dropped"'
)
def fail(ask: CommandContext, bead: str, reason: str, actor: str | None) -> None:
    """Fail a bead of the ledger by hand."""
    from smithers_nb.engine.control.decisions import login
    from smithers_nb.ledger.admin import force_fail

    with _ledger(ask) as ledger, ledger.writing() as connection:
        changed = force_fail(ledger, connection, bead, actor=actor or login(), note=reason)
    _print_move(ask, bead, "failed", f"{bead} failed" if changed else f"{bead} had already ended; the reason was added to its log")


@command(
    "reopen", click.argument("bead", type=Utf8()), _REASON, _AS, example='smithers-nb beads reopen sb-1 --reason "the quota was raised"'
)
def reopen(ask: CommandContext, bead: str, reason: str, actor: str | None) -> None:
    """Open a failed bead of the ledger again; its log keeps why it had failed."""
    from smithers_nb.engine.control.decisions import login
    from smithers_nb.ledger import admin

    with _ledger(ask) as ledger, ledger.writing() as connection:
        admin.reopen(ledger, connection, bead, actor=actor or login(), note=reason)
    _print_move(ask, bead, "open", f"{bead} is open again")


@command("import", click.argument("path", type=click.Path()), example="smithers-nb beads import .beads")
def import_(ask: CommandContext, path: str) -> None:
    """Import work items of another system, or an export of a ledger; importing the same again changes nothing."""
    from pathlib import Path

    from smithers_nb.ledger.transfer import import_store

    with _ledger(ask, make=True) as ledger:
        found = import_store(ledger, Path(path))
    if ask.fmt != "table":
        write_json(dump(found._asdict()), line=ask.fmt == "jsonl")
        return
    click.echo(f"{found.beads} beads, {found.events} events and {found.lines} other lines are new")
    if found.without_reason:
        click.echo(f"{found.without_reason} failures have no reason recorded")
    for problem in found.problems:
        note(f"{problem.where}: {problem.what}")


@command("export", click.argument("path", type=click.Path(dir_okay=False)), example="smithers-nb beads export ledger.jsonl")
def export(ask: CommandContext, path: str) -> None:
    """Write the whole ledger as JSONL, which `beads import` takes back without a loss."""
    from pathlib import Path

    from smithers_nb.ledger.transfer import export as write

    with _ledger(ask) as ledger, Path(path).open("w", encoding="utf-8") as out:
        count = write(ledger, out)
    if ask.fmt == "table":
        note(f"{count} rows written to {path}")
    else:
        write_json({"file": path, "rows": count}, line=ask.fmt == "jsonl")


def _print_move(ask: CommandContext, bead: str, status: str, message: str) -> None:
    if ask.fmt == "table":
        note(message)
    else:
        write_json({"beadId": bead, "status": status, "detail": message}, line=ask.fmt == "jsonl")


def _summarise(ask: CommandContext, bead: str, provider: str) -> None:
    from smithers_nb.workflows.bead_summary import summarise_failure

    if (ask.source or "").startswith("beads:"):
        raise ParameterError(
            "--provider stores its summary in a ledger, and this is another system's store",
            hint="import it first: `smithers-nb beads import`",
        )
    with _ledger(ask) as ledger:
        if missing := summarise_failure(ledger, bead, provider):
            note(missing)


def _store(ask: CommandContext) -> BeadStore:
    from smithers_nb.workflows.beads import open_beads

    return open_beads(ask.source)


def _ledger(ask: CommandContext, *, make: bool = False) -> Ledger:
    from smithers_nb.workflows.ledger_store import open_ledger

    return open_ledger(ask.source, make=make)


def _limit(text: str) -> tuple[str, int]:
    from smithers_nb.diagnosis.beads.audit import THRESHOLDS

    name, _, number = text.partition("=")
    if not number.isdecimal() or name not in THRESHOLDS:
        raise ParameterError(f"--fail-over {text!r} is not COUNT=N", hint=f"COUNT is one of {', '.join(THRESHOLDS)}")
    return name, int(number)


def _write_report(path: str, title: str, card: Card) -> None:
    from pathlib import Path

    from smithers_nb.artifacts import write_whole
    from smithers_nb.present.html.page import cards_page

    write_whole(Path(path), cards_page(title, card).encode("utf-8", "replace"))
    note(f"page written to {path}")


def _reason(code: str | None, text: str | None) -> str:
    return ": ".join(part for part in (code, text) if part)


beads = group(
    "beads",
    list_,
    show,
    activity,
    convoys,
    audit,
    fail,
    reopen,
    import_,
    export,
    help="Work items: why they failed, and which reasons a fleet loses.",
)
