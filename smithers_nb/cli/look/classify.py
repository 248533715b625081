"""`classify`: the failure class of error messages, from the message alone."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import Any

import click
import orjson

from smithers_nb.cli.options import CommandContext, Utf8, command
from smithers_nb.cli.output import Column, note, print_table, write_json

_USER_ERROR = 4
_COLUMNS = (
    Column("LINE", lambda row: row["line"]),
    Column("CLASS", lambda row: row["failureClass"] or "not readable"),
    Column("CONFIDENCE", lambda row: row["confidence"]),
    Column("DO", lambda row: row["suggestion"]),
    Column("BECAUSE", lambda row: row["reason"] or row["error"], grow=True),
    Column("RECOGNISED BY", lambda row: row["quote"], grow=True, spare=1),
)


@command(
    "classify",
    click.argument("messages", type=Utf8(), nargs=-1, metavar="[MESSAGE]..."),
    example="""smithers-nb classify "connect ECONNREFUSED 127.0.0.1:5432"
smithers-nb classify < messages.jsonl
smithers-nb failures --format jsonl | jq -c '{message, code}' | smithers-nb classify --format table""",
    store=False,
    default_format="jsonl",
)
def classify(ask: CommandContext, messages: tuple[str, ...]) -> int:
    """Classify error messages: the arguments, or the lines of standard input when there are none. Print one row for each, in order.

    A line is the text of a message, or a JSON object with `message` and optionally `code`. A line that starts like a JSON object but
    cannot be read gets a row with the error, and the exit code is 4. Empty lines are skipped.
    """
    if not messages and sys.stdin.isatty():
        note("reading messages, one per line; Ctrl-D ends them")
    wrong: list[int] = []
    rows = _collect_wrong(classified([text.encode() for text in messages] or sys.stdin.buffer), wrong)
    if ask.fmt == "jsonl":
        for row in rows:
            write_json(row, line=True)
            sys.stdout.flush()  # a program that pipes lines in one by one waits for each answer
    elif ask.fmt == "json":
        write_json(list(rows))
    elif listed := list(rows):
        print_table(listed, _COLUMNS)
    if wrong:
        more = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        note(f"smithers-nb: line {wrong[0]}{more}: not a JSON object with a text `message`")
    return _USER_ERROR if wrong else 0


def classified(lines: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    """Classify lines one by one.

    Yields:
        `line` (from 1), `failureClass`, `confidence`, `rule`, `signature`, `reason`, `suggestion`, `quote` (the telling part of the
        message), and `error` for a line that could not be read, whose other values are None.
    """
    from smithers_nb.diagnosis.classify.classify import classify_message
    from smithers_nb.diagnosis.failure.signature import signature

    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            message, code = _read(line)
        except ValueError as error:
            yield dict.fromkeys(("failureClass", "confidence", "rule", "signature", "reason", "suggestion", "quote")) | {
                "line": number,
                "error": str(error),
            }
            continue
        found = classify_message(message, code)
        yield {
            "line": number,
            "failureClass": found.failure_class,
            "confidence": found.confidence,
            "rule": found.rule,
            "signature": signature(message, code),
            "reason": found.reason,
            "suggestion": found.suggestion,
            "quote": _telling_quote(message, found.rule),
            "error": None,
        }


def _telling_quote(message: str, rule: str) -> str:
    """Return a message on one line, with the part that the rule matched."""
    from smithers_nb.diagnosis.classify.recognised import recognised
    from smithers_nb.diagnosis.failure.excerpt import quoting
    from smithers_nb.model.verdict import Failure, Link

    return quoting(message, recognised(rule, Failure(run_id="", kind="none", chain=(Link(message=message),))))


def _read(line: bytes) -> tuple[str, str | None]:
    """Read a message and its code; a line that is not a JSON object is the message itself."""
    if not line.lstrip().startswith(b"{"):
        return line.decode("utf-8", "replace").strip(), None
    value = orjson.loads(line)
    message, code = value.get("message"), value.get("code")
    if not isinstance(message, str):
        raise ValueError("has no text `message`")  # noqa: TRY004  # one kind of error for one kind of wrong line
    return message, None if code is None else str(code)


def _collect_wrong(rows: Iterable[dict[str, Any]], wrong: list[int]) -> Iterator[dict[str, Any]]:
    for row in rows:
        if row["error"] is not None:
            wrong.append(row["line"])
        yield row
