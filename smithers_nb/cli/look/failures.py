"""`failures`: why things failed, one row per failed attempt, in one pass over a run or the whole store."""

from __future__ import annotations

from typing import get_args

import click

from smithers_nb.cli.options import Asked, Moment, Utf8, command, maybe_run_argument
from smithers_nb.cli.output import Column, message, moment, node_name, print_rows, short_ids
from smithers_nb.model.vocabulary import FailureClass

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
)


@command(
    "failures",
    maybe_run_argument,
    *_OPTIONS,
    example="""smithers-nb failures
smithers-nb failures 49315
smithers-nb failures --since 7d --format jsonl | jq -r .signature | sort | uniq -c""",
)
def failures(ask: Asked, run: str | None, classes: tuple[str, ...], signature: str | None, since: int | None) -> None:
    """List failures with their class and signature, of one run or of the whole store.

    Equal signatures are the same failure, whatever ids, paths, numbers and times its message holds.
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
        short = short_ids(row.run_id for row in project.run_rows()) if run is None and ask.fmt == "table" else {}
        columns = (
            *((Column("RUN", lambda row: short.get(row.run_id, row.run_id)),) if run is None else ()),
            Column("NODE", node_name),
            Column("TRY", lambda row: row.attempt, spare=2),
            Column("AT (UTC)", lambda row: moment(row.at), spare=4),
            Column("CLASS", lambda row: row.failure_class),
            Column("SURE", lambda row: row.confidence, spare=3),
            Column("SIGNATURE", lambda row: row.signature, spare=1),
            Column("MESSAGE", lambda row: message(row.message), grow=True),
        )
        print_rows(found, ask.fmt, columns, nothing="no failures")
