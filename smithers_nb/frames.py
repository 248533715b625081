"""The column contract of every frame, and the only builders that enforce it.

A contract is one row class of `model.rows`: its field names are the columns in order, the first note of a field's annotation is the
pandas dtype, the second what the column means, and a field that may be None is a column that may hold NA. `describe("attempts")`
shows it as a frame. Strings are pandas' Arrow-backed `str`, counts `Int64`, indexes that are always there `int64`, flags `boolean`,
numbers `Float64`, times `datetime64[ms, UTC]`; missing is NA, never `""` or `"nan"`; JSON stays text until somebody needs it.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, get_args, get_type_hints

from smithers_nb.model.rows import GRAINS

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

R = TypeVar("R", bound=tuple[object, ...])


class Column(NamedTuple):
    """One column of a contract."""

    name: str
    dtype: str
    meaning: str
    optional: bool


@cache
def contract(row: type[R]) -> tuple[Column, ...]:
    """Read the contract off a row class, columns in order."""
    hints = get_type_hints(row, include_extras=True)
    return tuple(_column(name, hints[name]) for name in row._fields)  # type: ignore[attr-defined]


def grain_name(row: type[R]) -> str:
    """Name the frame of a row class, such as `attempts`."""
    return next(name for name, known in GRAINS.items() if known is row)


def describe(grain: str) -> pd.DataFrame:
    """Show a contract: one row per column with its dtype, whether it may be NA, and its meaning.

    Raises:
        KeyError: There is no such grain; the names are the keys of `model.rows.GRAINS`.
    """
    import pandas as pd

    columns = contract(GRAINS[grain])
    return pd.DataFrame(
        {
            "dtype": [column.dtype for column in columns],
            "optional": [column.optional for column in columns],
            "meaning": [column.meaning for column in columns],
        },
        index=pd.Index([column.name for column in columns], name="column"),
    )


def empty(row: type[R]) -> pd.DataFrame:
    """Give the frame of a contract without rows."""
    return frame_from_rows(row, ())


def frame_from_rows(row: type[R], rows: Iterable[R]) -> pd.DataFrame:
    """Turn typed rows into the frame of their contract."""
    import pandas as pd

    columns = list(zip(*rows, strict=True)) or [()] * len(contract(row))
    return pd.DataFrame({spec.name: _series(spec, values) for spec, values in zip(contract(row), columns, strict=True)})


def frame_from_arrow(row: type[R], table: pa.Table) -> pd.DataFrame:
    """Turn an Arrow table with the columns of a contract, in any order and integer width, into its frame."""
    import pandas as pd

    return pd.DataFrame({spec.name: _arrow_series(spec, table.column(spec.name)) for spec in contract(row)}, copy=False)


def _column(name: str, hint: Any) -> Column:
    kind, dtype, *meaning = get_args(hint)
    return Column(name, dtype, meaning[0] if meaning else "", type(None) in get_args(kind))


def _series(spec: Column, values: tuple[Any, ...]) -> pd.Series[Any]:
    import pandas as pd

    if spec.dtype.startswith("datetime"):
        counts = pd.array(list(values), dtype="Int64")
        return pd.Series(counts.to_numpy(dtype="int64", na_value=_NAT)).astype("datetime64[ms]").dt.tz_localize("UTC")
    return pd.Series(pd.array(list(values), dtype=spec.dtype))


_NAT = -(2**63)


def _arrow_series(spec: Column, column: pa.ChunkedArray) -> pd.Series[Any]:
    import pandas as pd
    import pyarrow as pa

    kinds = {"str": pa.large_string(), "int64": pa.int64(), "Int64": pa.int64(), "boolean": pa.bool_(), "Float64": pa.float64()}
    if spec.dtype.startswith("datetime"):
        counts = column.cast(pa.int64()).fill_null(_NAT).to_numpy()
        return pd.Series(counts.view("datetime64[ms]")).dt.tz_localize("UTC")
    values = column.cast(kinds[spec.dtype])
    if spec.dtype == "str":
        return pd.Series(values, dtype="str") if len(values) else pd.Series([], dtype="str")
    if spec.dtype == "int64":
        return pd.Series(values.to_numpy())
    return pd.Series(pd.array(values, dtype=spec.dtype))
