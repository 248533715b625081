"""`events`: a run's append-only log."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from smithers_nb.cli.options import CommandContext, Moment, Utf8, command, run_argument
from smithers_nb.cli.output import TONES, fit, message, node_name, note, print_rows, screen_width
from smithers_nb.present.html.text import one_line
from smithers_nb.sources.stores.json_text import loads

if TYPE_CHECKING:
    from smithers_nb.model.rows import EventRow
    from smithers_nb.present.html.states import Tone

_OPTIONS = (
    click.option(
        "--type", "-t", "types", type=Utf8(), multiple=True, help="Only this event type or category (run, node, approval, agent, …)."
    ),
    click.option("--node", "-n", "nodes", type=Utf8(), multiple=True, help="Only events of this node."),
    click.option(
        "--since",
        "since_ms",
        type=Moment(ago=True),
        help="Only events at or after this time: epoch milliseconds, ISO 8601, or 15m, 2h, 1d ago.",
    ),
    click.option("--raw", is_flag=True, help="Also heartbeats, render frames, snapshots and raw agent chunks."),
)
_MIN_DATED = 120
_TONE_OF_ENDING: tuple[tuple[tuple[str, ...], Tone], ...] = (
    (("Failed", "Denied", "Timeout", "GaveUp", "Unsafe"), "bad"),
    (("Finished", "Granted", "AutoApproved"), "good"),
    (("Requested", "WaitingApproval", "WaitingTimer", "Cancelled", "Retrying", "Skipped"), "warn"),
)


@command(
    "events",
    run_argument,
    *_OPTIONS,
    example="smithers-nb events 49315 --type node\nsmithers-nb events 49315 --raw --format jsonl | jq -c .payload",
)
def events(ask: CommandContext, run: str, **filters: Any) -> None:
    """Print a run's event log, oldest first, without a limit.

    Heartbeats, render frames and raw agent chunks, most lines of a long run, are left out unless --raw or --type asks for them.
    """
    with ask.project() as project:
        found = project.run(run).event_rows(**filters)
        if ask.fmt == "table":
            _print_lines(found)
        else:
            print_rows(found, ask.fmt, (), nothing="")


def _print_lines(found: list[EventRow]) -> None:
    """Print events one by one, so that `| head` does not wait for the last."""
    if not found:
        note("no such events")
        return
    room = screen_width()
    dated = room is None or room >= _MIN_DATED
    click.echo(click.style(_line(room, "SEQ", "TIME (UTC)".ljust(23 if dated else 12), "TYPE", "NODE", "WHAT"), bold=True))
    for event in found:
        click.echo(_event_line(event, room, dated=dated))


def line_of(event: EventRow) -> str:
    """Return an event as one line of the log, fitted to a terminal."""
    room = screen_width()
    return _event_line(event, room, dated=room is None or room >= _MIN_DATED)


def _event_line(event: EventRow, room: int | None, *, dated: bool) -> str:
    node = f"{node_name(event)}{f'/{event.attempt}' if event.attempt else ''}" if event.node_id else ""
    line = _line(room, str(event.seq), _stamp(event.at, dated=dated), event.type, node, message(what_happened(event)))
    return click.style(line, fg=_colour(event.type)) if _colour(event.type) else line


def _line(room: int | None, *columns: str) -> str:
    seq, at, kind, node, what = columns
    cells = f"{seq:>6}  {at}  {fit(one_line(kind), 20 if room else 24)}  {fit(one_line(node), 18 if room else 28)}  {what}".rstrip()
    return fit(cells, room, fill=False) if room else cells


def what_happened(event: EventRow) -> str:
    """Return the part of an event's payload that says most: its error, status, reason or text."""
    import orjson

    try:
        payload = loads(event.payload or "null")
    except orjson.JSONDecodeError:
        return one_line(event.payload)
    if not isinstance(payload, dict):
        return one_line(payload)
    error = payload.get("error")
    text = error.get("message") if isinstance(error, dict) else error
    return one_line(
        text or next((payload[key] for key in ("status", "reason", "text", "toolName", "signalName", "frameNo") if payload.get(key)), "")
    )


def _stamp(ms: int | None, *, dated: bool) -> str:
    try:
        whole = datetime.fromtimestamp((ms or 0) / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3] if ms is not None else "-"
    except (ValueError, OverflowError, OSError):
        whole = str(ms)
    return whole.ljust(23) if dated else whole[11:].ljust(12)


def _colour(event_type: str) -> str | None:
    return next((TONES[tone] for endings, tone in _TONE_OF_ENDING if event_type.endswith(endings)), None)
