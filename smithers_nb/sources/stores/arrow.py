"""Read a whole table of another program's SQLite file into Arrow through ADBC, several times faster than row by row.

The driver brings its own SQLite library, so it must never open a file that this process writes: two libraries on one file in one
process release each other's locks. Callers check `sqlite_file.is_owned` first.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any, Final

from smithers_nb.sources.smithers.query import quoted

if TYPE_CHECKING:
    import pyarrow as pa

    from smithers_nb.frames import Column
    from smithers_nb.sources.smithers.query import Query

_BATCH_ROWS: Final = "16384"
_SAMPLE: Final = {"str": "''", "Float64": "0.0"}


def read_arrow(uri: str, query: Query, columns: Collection[Column]) -> pa.Table | None:
    """Run a query; return None if the driver fails, so that the caller reads row by row.

    Args:
        uri: SQLite URI of the file.
        query: SELECT with the columns of the contract, in order.
        columns: The contract.
    """
    import pyarrow as pa
    from adbc_driver_manager import Error
    from adbc_driver_sqlite import StatementOptions, dbapi

    options = {StatementOptions.BATCH_ROWS.value: _BATCH_ROWS}
    try:
        with dbapi.connect(uri) as connection, connection.cursor(adbc_stmt_kwargs=options) as cursor:
            cursor.execute(_with_sample(query.sql, columns), query.params or None)
            table = cursor.fetch_arrow_table().slice(1)
    except (Error, OSError, pa.ArrowException):
        return None
    return _readable(table)


def _with_sample(sql: str, columns: Collection[Column]) -> str:
    """Prepend a row of the right types: the driver infers a column's type from the first rows, which may be NULL.

    LIMIT keeps SQLite from dropping the order of the inner query.
    """
    sample = ", ".join(f"{_SAMPLE.get(column.dtype, '0')} AS {quoted(column.name)}" for column in columns)
    return f"SELECT {sample} UNION ALL SELECT * FROM ({sql} LIMIT -1)"


def _readable(table: pa.Table) -> pa.Table:
    """Replace bytes that are not UTF-8; the driver passes them on unchecked."""
    import pyarrow as pa

    for index, field in enumerate(table.schema):
        if pa.types.is_string(field.type):
            column = table.column(index)
            try:
                column.validate(full=True)
            except pa.ArrowInvalid:
                chunks = [_decoded(chunk) for chunk in column.chunks]
                table = table.set_column(index, field.name, pa.chunked_array(chunks, pa.large_string()))
    return table


def _decoded(chunk: Any) -> Any:
    import pyarrow as pa

    raw = chunk.view(pa.binary()).to_pylist()
    return pa.array([None if value is None else value.decode("utf-8", "replace") for value in raw], pa.large_string())
