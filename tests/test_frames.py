"""Contracts: what a column is, and the builders that keep to it."""

from __future__ import annotations

import subprocess
import sys

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smithers_nb.frames import contract, describe, empty, frame_from_arrow, frame_from_rows
from smithers_nb.model.rows import TABLES, AttemptRow, EventRow, RunRow

DTYPES = {"str", "int64", "Int64", "boolean", "Float64", "datetime64[ms, UTC]"}
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
NUMBERS = st.integers(-(2**62), 2**62)


@pytest.mark.parametrize("table", TABLES)
def test_contract_is_complete(table):
    """Every column of every table has one of six dtypes and says what it means."""
    columns = contract(TABLES[table])
    assert [column.name for column in columns] == list(TABLES[table]._fields)
    assert {column.dtype for column in columns} <= DTYPES
    assert all(column.meaning for column in columns)


@pytest.mark.parametrize("table", TABLES)
def test_optional_columns_can_hold_na(table):
    """Only a dtype that knows NA is used where a value may be missing."""
    assert not [column for column in contract(TABLES[table]) if column.optional and column.dtype == "int64"]


@pytest.mark.parametrize("table", TABLES)
def test_empty_frame(table):
    """A frame without rows has all columns with their dtypes."""
    frame = empty(TABLES[table])
    assert len(frame) == 0
    assert {name: str(dtype) for name, dtype in frame.dtypes.items()} == {c.name: c.dtype for c in contract(TABLES[table])}


def test_describe():
    """A contract can be read as a frame."""
    shown = describe("attempts")
    assert shown.loc["duration_s"].tolist() == ["Float64", True, "seconds from start to end; NA while open"]
    assert shown.loc["attempt", "dtype"] == "int64"
    assert not shown.loc["run_id", "optional"]
    with pytest.raises(KeyError):
        describe("nonsense")


@given(
    st.lists(
        st.builds(
            EventRow,
            TEXT,
            NUMBERS,
            st.none() | st.integers(0, 2**42),
            TEXT,
            TEXT,
            st.none() | TEXT,
            st.none() | NUMBERS,
            st.none() | NUMBERS,
            st.none() | TEXT,
        )
    )
)
def test_rows_survive_the_frame(rows):
    """What goes into a frame comes out of it, missing as NA and large numbers exact."""
    frame = frame_from_rows(EventRow, rows)
    assert frame["seq"].tolist() == [row.seq for row in rows]
    assert [None if value is pd.NA else value for value in frame["attempt"]] == [row.attempt for row in rows]
    assert [None if pd.isna(value) else value for value in frame["payload"]] == [row.payload for row in rows]
    assert [None if pd.isna(value) else round(value.timestamp() * 1000) for value in frame["at"]] == [row.at for row in rows]


def test_missing_is_na_never_text():
    """A missing value is NA, and an empty text stays an empty text."""
    row = RunRow(*(None if column.optional else "" for column in contract(RunRow)))
    frame = frame_from_rows(RunRow, [row])
    for column in contract(RunRow):
        assert frame[column.name].isna()[0] == column.optional
    assert frame["run_id"][0] == ""


def test_arrow_in_any_order_and_width():
    """A table with the columns in another order and narrower numbers gives the same frame."""
    samples = {"str": "x", "boolean": True}
    rows = [AttemptRow(*(samples.get(column.dtype, 1) for column in contract(AttemptRow)))]
    names = [column.name for column in reversed(contract(AttemptRow))]
    narrow = {str: pa.string(), int: pa.int32(), bool: pa.bool_()}
    table = pa.table({name: pa.array([getattr(rows[0], name)], narrow[type(getattr(rows[0], name))]) for name in names})
    pd.testing.assert_frame_equal(frame_from_arrow(AttemptRow, table), frame_from_rows(AttemptRow, rows))


def test_contracts_need_no_pandas():
    """Reading a contract imports neither pandas nor Arrow."""
    script = (
        "import sys; from smithers_nb.frames import contract; from smithers_nb.model.rows import TABLES;"
        "[contract(row) for row in TABLES.values()];"
        "print([name for name in ('pandas', 'pyarrow', 'numpy') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.strip() == "[]"
