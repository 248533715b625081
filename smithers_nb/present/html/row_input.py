"""One table, handed in as typed rows or as a frame, read as typed rows.

Drawing needs no pandas; whoever already holds a frame may pass it all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, cast

if TYPE_CHECKING:
    import pandas as pd

R = TypeVar("R", bound=tuple[Any, ...])
Rows: TypeAlias = "Iterable[R] | pd.DataFrame"


def rows_of(row_class: type[R], data: Rows[R]) -> list[R]:
    """Read rows of a table out of rows or out of a frame; columns that a frame lacks are None, times are epoch milliseconds."""
    if hasattr(data, "columns"):
        return _rows_of_frame(row_class, cast("pd.DataFrame", data))
    return list(data)


def _rows_of_frame(row_class: type[R], frame: pd.DataFrame) -> list[R]:
    fields: tuple[str, ...] = row_class._fields  # type: ignore[attr-defined]  # a NamedTuple
    known = {name: _plain_column(frame[name]) for name in fields if name in frame.columns}
    make: Callable[..., R] = row_class
    return [make(*(known[name][position] if name in known else None for name in fields)) for position in range(len(frame))]


def _plain_column(column: pd.Series[Any]) -> list[Any]:
    import pandas as pd

    if isinstance(column.dtype, pd.DatetimeTZDtype):
        return [None if pd.isna(value) else round(value.timestamp() * 1000) for value in column]
    return [None if pd.isna(value) else value for value in column.tolist()]
