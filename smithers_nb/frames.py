"""The column contract of every frame, and the only builders that enforce it.

A contract is one row class of `model.rows`: its field names are the columns in order, the first note of a field's annotation is the
pandas dtype, the second what the column means, and a field that may be None is a column that may hold NA. `describe("attempts")`
shows it as a frame. Strings are pandas' Arrow-backed `str`, counts `Int64`, indexes that are always there `int64`, flags `boolean`,
numbers `Float64`, times `datetime64[ms, UTC]`; missing is NA, never `""` or `"nan"`; JSON stays text until somebody needs it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar, get_args, get_type_hints

from smithers_nb.model.beads import BEAD_TABLES
from smithers_nb.model.rows import TABLES

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

R = TypeVar("R", bound=tuple[object, ...])


_contracts: dict[type, tuple[Column, ...]] = {}


class Column(NamedTuple):
    """One column of a contract."""

    name: str
    dtype: str
    meaning: str
    optional: bool


def contract(row: type[Any]) -> tuple[Column, ...]:
    """Read the contract off a row class, columns in order."""
    if row not in _contracts:
        hints = get_type_hints(row, include_extras=True)
        _contracts[row] = tuple(_column(name, hints[name]) for name in row._fields)
    return _contracts[row]


def describe(table: str) -> pd.DataFrame:
    """Show a contract: one row per column with its dtype, whether it may be NA, and its meaning.

    Raises:
        KeyError: There is no such table; the names are the keys of `model.rows.TABLES` and `model.beads.BEAD_TABLES`.
    """
    import pandas as pd

    columns = contract({**TABLES, **BEAD_TABLES}[table])
    return pd.DataFrame(
        {
            "dtype": [column.dtype for column in columns],
            "optional": [column.optional for column in columns],
            "meaning": [column.meaning for column in columns],
        },
        index=pd.Index([column.name for column in columns], name="column"),
    )


def empty(row: type[R]) -> pd.DataFrame:
    """Return the frame of a contract without rows."""
    return frame_from_rows(row, ())


def frame_from_rows(row: type[R], rows: Iterable[R]) -> pd.DataFrame:
    """Turn typed rows into the frame of their contract."""
    import pyarrow as pa

    columns = list(zip(*rows, strict=True)) or [()] * len(contract(row))
    arrays = [pa.array(values, _arrow_type(spec)) for spec, values in zip(contract(row), columns, strict=True)]
    return frame_from_arrow(row, pa.table(arrays, names=[spec.name for spec in contract(row)]))


def frame_from_arrow(row: type[R], table: pa.Table) -> pd.DataFrame:
    """Turn an Arrow table with the columns of a contract, in any order and integer width, into its frame."""
    import pandas as pd

    return pd.DataFrame({spec.name: _series(spec, table.column(spec.name).cast(_arrow_type(spec))) for spec in contract(row)}, copy=False)


def _column(name: str, hint: Any) -> Column:
    kind, dtype, *meaning = get_args(hint)
    return Column(name, dtype, meaning[0] if meaning else "", type(None) in get_args(kind))


def _arrow_type(spec: Column) -> Any:
    import pyarrow as pa

    kinds = {"str": pa.large_string(), "boolean": pa.bool_(), "Float64": pa.float64()}
    return kinds.get(spec.dtype, pa.int64())


def _series(spec: Column, values: pa.ChunkedArray) -> pd.Series[Any]:
    """Hand over Arrow's memory where pandas can use it, and numbers with a mask where it cannot."""
    import pandas as pd

    if spec.dtype == "str":
        return pd.Series(values, dtype="str")
    if spec.dtype.startswith("datetime"):
        counts = values.fill_null(_NO_TIME).to_numpy()
        return pd.Series(counts.view("datetime64[ms]")).dt.tz_localize("UTC")
    arrays: dict[str, Any] = {"Int64": pd.arrays.IntegerArray, "Float64": pd.arrays.FloatingArray, "boolean": pd.arrays.BooleanArray}
    numbers = values.fill_null(False if spec.dtype == "boolean" else 0).to_numpy()
    if spec.dtype not in arrays:
        return pd.Series(numbers)
    return pd.Series(arrays[spec.dtype](numbers, values.is_null().to_numpy()))


_NO_TIME: Final = -(2**63)
