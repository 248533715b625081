"""Rows that are assembled from several tables: approvals with the request times their rows lost, and outputs of all workflows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from smithers_nb.model.rows import ApprovalRow, OutputRow
from smithers_nb.model.vocabulary import NODE_TERMINAL_STATES, TERMINAL_STATUSES
from smithers_nb.sources.smithers import journal
from smithers_nb.sources.smithers.query import Wanted, known_columns, quoted
from smithers_nb.sources.stores.json_text import as_object, dump, parse, text_or_none, whole

if TYPE_CHECKING:
    from smithers_nb.sources.smithers.source import SmithersSource

_APPROVALS: Final = "_smithers_approvals"
_KEY: Final = ("run_id", "node_id", "iteration")
_MAX_ARGUMENTS: Final = 500


def approvals(source: SmithersSource, wanted: Wanted) -> list[ApprovalRow]:
    """Read approvals; a request time that the decision erased is taken from the event log."""
    if _APPROVALS not in source.schema:
        return []
    names = ("status", "requested_at_ms", "decided_at_ms", "decided_by", "note", "auto_approved", "request_json")
    has = source.schema[_APPROVALS]
    columns = ", ".join(known_columns(f"[{name}]", has) for name in (*_KEY, *names))
    where, params = ("", ()) if wanted.run_id is None else (" WHERE run_id = ?", (wanted.run_id,))
    cells = source.fetch(_APPROVALS, f"SELECT {columns} FROM {_APPROVALS}{where} ORDER BY 1, 2, 3", params)
    runs = {str(cell[0]) for cell in cells}
    asked = _request_times(source, {str(cell[0]) for cell in cells if cell[4] is None})
    ended_runs = _keys(source, ("_smithers_runs", ("run_id",), "status"), runs, TERMINAL_STATUSES)
    ended_nodes = _keys(source, ("_smithers_nodes", _KEY, "state"), runs, NODE_TERMINAL_STATES)
    rows = [_approval(cell, asked, ended_runs | ended_nodes) for cell in cells]
    return [row for row in rows if wanted.since_ms is None or (row.requested_at or 0) >= wanted.since_ms]


def outputs(source: SmithersSource, wanted: Wanted) -> list[OutputRow]:
    """Read the outputs of tasks, and the input of each run, from the tables of all workflows."""
    if journal.is_journal(source.schema):
        return journal.outputs(source, wanted)
    kinds = _kinds(source)
    rows: list[OutputRow] = []
    for table, columns in source.own_tables.items():
        where, params = ("", ()) if wanted.run_id is None else (" WHERE run_id = ?", (wanted.run_id,))
        listed = ", ".join(quoted(column) for column in columns)
        found = source.fetch(table, f"SELECT {listed} FROM {quoted(table)}{where}", params)
        rows += [_output(table, dict(zip(columns, cells, strict=True)), kinds) for cells in found]
    return sorted(rows, key=lambda row: (row.run_id, row.node_id, row.iteration))


def _approval(cells: tuple[Any, ...], asked: dict[Any, int], ended: set[Any]) -> ApprovalRow:
    run_id, node_id, iteration, status, requested, decided, by, note, auto, request_json = cells
    key = (str(run_id), str(node_id), whole(iteration) or 0)
    request = as_object(request_json)
    metadata = request.get("metadata")
    state = text_or_none(status) or "unknown"
    return ApprovalRow(
        *key,
        status=state,
        title=text_or_none(request.get("title")),
        summary=text_or_none(request.get("summary")),
        requested_at=whole(requested) if requested is not None else asked.get(key),
        decided_at=whole(decided),
        decided_by=text_or_none(by),
        note=text_or_none(note),
        auto_approved=None if auto is None else bool(auto),
        actionable=state == "requested" and (key[0],) not in ended and key not in ended,
        mode=text_or_none(request.get("mode") or request.get("kind")),
        for_question=isinstance(metadata, dict) and metadata.get("humanTask") is True,
    )


def _request_times(source: SmithersSource, runs: set[str]) -> dict[Any, int]:
    """Return when each approval of these runs was first requested, from their event logs."""
    if "_smithers_events" not in source.schema:
        return {}
    asked: dict[Any, int] = {}
    sql = (
        "SELECT run_id, timestamp_ms, payload_json FROM _smithers_events "
        "WHERE run_id IN ({}) AND type = 'ApprovalRequested' ORDER BY run_id, seq DESC"
    )
    for run_id, at, payload in _by_chunks(source, "_smithers_events", sql, runs):
        event = as_object(payload)
        asked[str(run_id), str(event.get("nodeId")), whole(event.get("iteration")) or 0] = whole(at) or 0
    return asked


def _keys(source: SmithersSource, columns: tuple[str, tuple[str, ...], str], runs: set[str], values: frozenset[str]) -> set[Any]:
    """Return the keys of these runs' rows whose state is one of the values; `columns` is the table, its key and its state column."""
    table, key, column = columns
    if not {*key, column} <= set(source.schema.get(table, ())):
        return set()
    sql = f"SELECT {', '.join(key)}, {column} FROM {table} WHERE run_id IN ({{}})"
    found = _by_chunks(source, table, sql, runs)
    return {tuple(cells[:-1]) for cells in found if str(cells[-1]).replace("_", "-") in values}


def _by_chunks(source: SmithersSource, table: str, sql: str, runs: set[str]) -> Iterable[tuple[Any, ...]]:
    ids = sorted(runs)
    for start in range(0, len(ids), _MAX_ARGUMENTS):
        chunk = ids[start : start + _MAX_ARGUMENTS]
        yield from source.fetch(table, sql.format(", ".join("?" * len(chunk))), chunk)


def _kinds(source: SmithersSource) -> dict[tuple[str, str], str]:
    table = "_smithers_output_schema_columns"
    if not {"table_name", "column_name", "kind"} <= set(source.schema.get(table, ())):
        return {}
    found = source.fetch(table, f"SELECT table_name, column_name, kind FROM {table}")
    return {(name, column): kind for name, column, kind in found}


def _output(table: str, cells: dict[str, Any], kinds: dict[tuple[str, str], str]) -> OutputRow:
    run_id = text_or_none(cells.pop("run_id")) or ""
    node_id = text_or_none(cells.pop("node_id", None)) or table
    iteration = whole(cells.pop("iteration", None)) or 0
    row = {column: _value(value, kinds.get((table, column), _kind_of_input(table, value))) for column, value in cells.items()}
    raw = {column: text_or_none(value) for column, value in cells.items()}
    return OutputRow(run_id, node_id, iteration, table, dump(row) or dump(raw))


def _kind_of_input(table: str, value: Any) -> str:
    """Infer the kind of an input field from its value: the engine declares the kinds of outputs only."""
    if table != "input":
        return ""
    if isinstance(value, float):
        return "number"
    return "json" if isinstance(value, str) and value[:1] in {"{", "["} else ""


def _value(value: Any, kind: str) -> Any:
    """Convert a field back from how the engine stores it: flags as 0 and 1, lists and objects as JSON text, all numbers as REAL."""
    if kind == "boolean" and value in (0, 1):
        return bool(value)
    if kind == "json" and isinstance(value, str):
        return parsed if (parsed := parse(value)) is not None else value
    if kind == "number" and isinstance(value, float) and value.is_integer():
        return int(value)
    return text_or_none(value) if isinstance(value, bytes) else value
