"""`events`: a run's append-only log, as many lines as there are."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from smithers_nb.cli.options import Asked, Moment, Utf8, command, run_argument
from smithers_nb.cli.output import TONES, node_name, note, print_rows
from smithers_nb.present.text import one_line

if TYPE_CHECKING:
    from smithers_nb.model.rows import EventRow
    from smithers_nb.present.states import Tone

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
def events(ask: Asked, run: str, **filters: Any) -> None:
    """Print a run's event log, oldest first, without a limit.

    Heartbeats, render frames and raw agent chunks, most lines of a long run, are left out unless --raw or --type asks for them.
    """
    with ask.project() as project:
        found = project.run(run).event_rows(**filters)
        if ask.fmt == "table":
            _print_lines(found)
        else:
            print_rows(found, ask.fmt, (), nothing="")


def _print_lines(found: Iterable[EventRow]) -> None:
    """Print one line per event at once, so that `| head` need not wait for the last."""
    lines = _lines(found)
    first = next(lines, None)
    if first is None:
        note("no such events")
        return
    click.echo(click.style(f"{'SEQ':>6}  {'TIME (UTC)':<23}  {'TYPE':<22} {'NODE':<24} WHAT", bold=True))
    for line in itertools.chain([first], lines):
        click.echo(line)


def _lines(found: Iterable[EventRow]) -> Iterator[str]:
    for event in found:
        node = f"{one_line(node_name(event), 60)}{f'/{event.attempt}' if event.attempt else ''}" if event.node_id else ""
        kind = click.style(one_line(event.type, 60).ljust(22), fg=_colour(event.type))
        yield f"{event.seq:>6}  {_stamp(event.at):<23}  {kind} {node:<24} {what_happened(event)}".rstrip()


def what_happened(event: EventRow) -> str:
    """Say in a few words what an event's payload adds to its type."""
    import orjson

    try:
        payload = orjson.loads(event.payload or "null")
    except orjson.JSONDecodeError:
        return one_line(event.payload)
    if not isinstance(payload, dict):
        return one_line(payload)
    error = payload.get("error")
    told = error.get("message") if isinstance(error, dict) else error
    return one_line(
        told or next((payload[key] for key in ("status", "reason", "text", "toolName", "signalName", "frameNo") if payload.get(key)), "")
    )


def _stamp(ms: int | None) -> str:
    try:
        return datetime.fromtimestamp((ms or 0) / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3] if ms is not None else "-"
    except (ValueError, OverflowError, OSError):
        return str(ms)


def _colour(event_type: str) -> str | None:
    return next((TONES[tone] for endings, tone in _TONE_OF_ENDING if event_type.endswith(endings)), None)
