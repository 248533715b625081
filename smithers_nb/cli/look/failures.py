"""`failures`: why things failed, by kind or one row per failed attempt, in one pass over a run or the whole store."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

import click

from smithers_nb.cli.options import CommandContext, Moment, Utf8, command, maybe_run_argument
from smithers_nb.cli.output import Column, message, moment, node_name, note, print_rows, short_ids
from smithers_nb.model.counts import plural
from smithers_nb.model.rows import RunRow
from smithers_nb.model.vocabulary import FailureClass

if TYPE_CHECKING:
    from smithers_nb.model.rows import FailureRow, SignatureRow
    from smithers_nb.project import Project

_OPTIONS = (
    click.option(
        "--class",
        "-c",
        "classes",
        type=click.Choice(get_args(FailureClass)),
        multiple=True,
        help="Only this failure class; may be given several times.",
    ),
    click.option("--signature", type=Utf8(), help="Only failures with this signature: the same failure wherever it occurred."),
    click.option("--since", type=Moment(ago=True), help="Only failures since this time: epoch milliseconds, ISO 8601, or 15m, 2h, 1d ago."),
    click.option(
        "--by",
        type=click.Choice(["signature", "attempt"]),
        help="One row per kind of failure, or one per failed attempt.  [default: signature for a table of a whole store, else attempt]",
    ),
)


@command(
    "failures",
    maybe_run_argument,
    *_OPTIONS,
    example="""smithers-nb failures
smithers-nb failures 49315
smithers-nb failures --since 7d --format jsonl | jq -r .signature | sort | uniq -c""",
)
def failures(  # noqa: PLR0913  # one per option of the command
    ask: CommandContext, run: str | None, *, classes: tuple[str, ...], signature: str | None, since: int | None, by: str | None
) -> None:
    """List failures with their class and signature, of one run or of the whole store.

    Failures with the same signature are the same, even if ids, paths, numbers and times in their messages differ. The table of a whole
    store has one row per signature, the one that hit the most runs first.
    """
    with ask.project() as project:
        run_id = None if run is None else project.run(run).id
        found = [
            row
            for row in project.failure_rows(run_id)
            if (not classes or row.failure_class in classes)
            and signature in (None, row.signature)
            and (since is None or (row.at or 0) >= since)
        ]
        if (by or ("signature" if run is None and ask.fmt == "table" else "attempt")) == "signature":
            _print_kinds(ask, project, found)
        else:
            _print_attempts(ask, project, found, with_run=run is None)


def _message(row: FailureRow | SignatureRow) -> str:
    """Return the message of an error, after the name of its class where the message needs it, such as `KeyError: 'count'`."""
    code, text = row.code or "", message(row.message)
    return f"{code}: {text}" if code != "Error" and code.endswith(("Error", "Exception")) and code not in text else text


def _print_kinds(ask: CommandContext, project: Project, found: list[FailureRow]) -> None:
    from smithers_nb.diagnosis.history.recurrence import signatures_table

    kinds = signatures_table(found, project.source.rows(RunRow))
    confidence = {row.signature: row.confidence for row in found}
    columns = (
        Column("RUNS", lambda kind: kind.runs),
        Column("ATTEMPTS", lambda kind: kind.count, spare=5),
        Column("CLASS", lambda kind: kind.failure_class),
        Column("CONFIDENCE", lambda kind: confidence[kind.signature], spare=4),
        Column("FIRST (UTC)", lambda kind: moment(kind.first_at), spare=3),
        Column("LAST (UTC)", lambda kind: moment(kind.last_at), spare=2),
        *((Column("VERSIONS", lambda kind: kind.versions or "", spare=3),) if any(kind.versions for kind in kinds) else ()),
        Column("SIGNATURE", lambda kind: kind.signature, spare=1),
        Column("MESSAGE", _message, grow=True),
    )
    print_rows(kinds, ask.fmt, columns, nothing="no failures")
    if ask.fmt == "table" and kinds:
        note(f"{plural(len(found), 'failed attempt')} of {plural(len(kinds), 'kind')}; --by attempt lists each of them")


def _print_attempts(ask: CommandContext, project: Project, found: list[FailureRow], *, with_run: bool) -> None:
    short = short_ids(row.run_id for row in project.run_rows()) if with_run and ask.fmt == "table" else {}
    columns = (
        *((Column("RUN", lambda row: short.get(row.run_id, row.run_id)),) if with_run else ()),
        Column("NODE", node_name),
        Column("TRY", lambda row: row.attempt, spare=2),
        Column("AT (UTC)", lambda row: moment(row.at), spare=4),
        Column("CLASS", lambda row: row.failure_class),
        Column("CONFIDENCE", lambda row: row.confidence, spare=3),
        Column("SIGNATURE", lambda row: row.signature, spare=1),
        Column("MESSAGE", _message, grow=True),
    )
    print_rows(found, ask.fmt, columns, nothing="no failures")
