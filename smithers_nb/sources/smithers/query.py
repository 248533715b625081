"""Build the SELECT of a row class from the tables and columns that a store has.

The same SQL serves typed rows and bulk frames: every expression is converted to its contract's type, where a value of another type
becomes NULL, or the type's zero value in a column that must not be NA.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any, Final, NamedTuple

import orjson

from smithers_nb.frames import Column, contract
from smithers_nb.sources.base import AllBut, Only
from smithers_nb.sources.smithers.tables import TABLES_IN_SQL, Table
from smithers_nb.sources.stores.sqlite_file import bindable

Schema = Mapping[str, Collection[str]]
"""Table name to the names of its columns."""

_BRACKETED: Final = re.compile(r"\[(\w+)\]")
# infinite numbers become NULL, because they cannot be subtracted, rounded or drawn
_NUMBER: Final = "CASE typeof({0}) WHEN 'integer' THEN {0} WHEN 'real' THEN CASE WHEN abs({0}) < 9e18 THEN CAST({0} AS INTEGER) END END"
_TYPED: Final = {
    "str": "CAST({0} AS TEXT)",
    "Int64": _NUMBER,
    "int64": _NUMBER,
    "datetime64[ms, UTC]": _NUMBER,
    "boolean": "CASE WHEN typeof({0}) IN ('integer', 'real') THEN {0} <> 0 END",
    "Float64": "CASE typeof({0}) WHEN 'integer' THEN CAST({0} AS REAL) WHEN 'real' THEN CASE WHEN abs({0}) < 1e300 THEN {0} END END",
}
_MAX_PARAMETERS: Final = 500
_ZERO: Final = {"str": "''", "int64": "0"}


class Query(NamedTuple):
    """SQL with its bound values.

    Attributes:
        sql: Rows in the order of the table's key.
        params: Values for the question marks.
        salvage: SQL for the same rows in other orders of access, to read what is left around a damaged page.
    """

    sql: str
    params: tuple[Any, ...]
    salvage: tuple[str, ...]


class Wanted(NamedTuple):
    """Filters on the rows to read."""

    run_id: str | None = None
    only: Only | None = None
    since_ms: int | None = None


def select(row: type[Any], schema: Schema, wanted: Wanted, *, location: str, left_out: Collection[str] = ()) -> Query | None:
    """Build the SELECT of a row class; None if the store lacks its table.

    Args:
        row: The row class.
        schema: Tables and columns of the store.
        wanted: Filters.
        location: Value bound where an expression is `?`.
        left_out: Columns that the caller computes itself; they are selected as NULL.
    """
    table = TABLES_IN_SQL.get(row)
    if table is None or table.table not in schema:
        return None
    has = schema[table.table]
    raw = {name: known_columns(expression, has) for name, expression in table.columns.items()}
    columns = contract(row)
    inner = ", ".join(f"{'NULL' if spec.name in left_out else raw[spec.name]} AS c{index}" for index, spec in enumerate(columns))
    outer = ", ".join(f"{typed(spec, f'c{index}')} AS {quoted(spec.name)}" for index, spec in enumerate(columns))
    params = [location] * sum(expression == "?" for expression in raw.values())
    conditions = [known_columns(table.where, has)] if table.where else []
    for condition, values in _conditions(table, raw, wanted, location):
        conditions.append(condition)
        params += values
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    group = f" GROUP BY {', '.join(raw[key] for key in table.order)}" if table.group else ""
    # LIMIT keeps SQLite from flattening the subquery, which would parse the JSON again for every use of a column
    head, tail = f"SELECT {outer} FROM (SELECT {inner} FROM {quoted(table.table)}", f"{where}{group} ORDER BY "
    forward, backward = (", ".join(f"{raw[key]}{way}" for key in table.order) for way in ("", " DESC"))
    around = [f"{tail}{backward}", f" NOT INDEXED{tail}rowid", f" NOT INDEXED{tail}rowid DESC"]
    return Query(f"{head}{tail}{forward} LIMIT -1)", bindable(params), tuple(f"{head}{way} LIMIT -1)" for way in around))


def typed(spec: Column, expression: str) -> str:
    """Return the SQL that converts an expression to the type of its column."""
    value = _TYPED[spec.dtype].format(expression)
    return value if spec.optional else f"coalesce({value}, {_ZERO[spec.dtype]})"


def quoted(name: str) -> str:
    """Quote a table or column name."""
    return '"' + name.replace('"', '""') + '"'


def known_columns(expression: str, has: Collection[str]) -> str:
    """Quote the bracketed columns of an expression, and replace those that the table lacks by NULL."""
    return _BRACKETED.sub(lambda found: quoted(found[1]) if found[1] in has else "NULL", expression)


def _conditions(table: Table, raw: Mapping[str, str], wanted: Wanted, location: str) -> list[tuple[str, list[Any]]]:
    found: list[tuple[str, list[Any]]] = []
    if wanted.run_id is not None:
        found.append((f"{raw['run_id']} = ?", [wanted.run_id]))
    for name, values in (wanted.only or {}).items():
        found.append(_membership(raw[name], values, [location] if raw[name] == "?" else []))
    if wanted.since_ms is not None and table.time is not None:
        found.append((f"{raw[table.time]} >= ?", [wanted.since_ms]))
    return found


def _membership(expression: str, values: Collection[str | int], bound: list[Any]) -> tuple[str, list[Any]]:
    word = "NOT IN" if isinstance(values, AllBut) else "IN"
    if len(values) > _MAX_PARAMETERS:
        return f"{expression} {word} (SELECT value FROM json_each(?))", [*bound, orjson.dumps(list(values)).decode()]
    return f"{expression} {word} ({', '.join('?' * len(values))})", [*bound, *values]
