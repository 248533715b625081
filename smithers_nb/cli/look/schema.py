"""`schema`: the JSON Schema of what a command prints."""

from __future__ import annotations

import click

from smithers_nb.cli.options import CommandContext, Utf8, command
from smithers_nb.cli.output import Column, print_rows, write_json
from smithers_nb.errors import ParameterError

_COLUMNS = (
    Column("NAME", lambda row: row["name"]),
    Column("VERSION", lambda row: row["version"]),
    Column("WHAT IT IS", lambda row: row["about"], grow=True),
)


@command(
    "schema",
    click.argument("name", type=Utf8(), metavar="[NAME]", required=False),
    store=False,
    example="smithers-nb schema\nsmithers-nb schema monitor > monitor.schema.json",
)
def schema(ask: CommandContext, name: str | None) -> None:
    """Print the JSON Schema of what a command prints with --format json; without NAME, list them.

    A schema has a version, the last part of its `$id`. It is raised when a field is taken out or changes its meaning; a field that
    is added is no new version.
    """
    from smithers_nb.cli.schemas import DOCUMENTS, schema_of

    if name is None:
        listed = [{"name": key, "version": document.version, "about": document.about} for key, document in DOCUMENTS.items()]
        print_rows(listed, ask.fmt, _COLUMNS, nothing="")
        return
    if name not in DOCUMENTS:
        raise ParameterError(f"there is no schema {name!r}", hint=f"one of {', '.join(DOCUMENTS)}")
    write_json(schema_of(name), line=ask.fmt == "jsonl")
