"""What a stage returns comes back as it went in, or is refused with a sentence that says what to return instead."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import math
import uuid
from collections import Counter, OrderedDict, defaultdict, namedtuple
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import orjson
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from smithers_nb.engine.journal.records import as_json
from smithers_nb.engine.stages.codec import Shape
from smithers_nb.engine.stages.tagged import Unfit, from_json, same, to_json


class Colour(enum.StrEnum):
    RED = "red"


class Modes(enum.Flag):
    READ = 1
    WRITE = 2


class Level(enum.IntEnum):
    HIGH = 3


Point = namedtuple("Point", "x y")  # noqa: PYI024  # as notebooks write it


@dataclasses.dataclass(frozen=True, slots=True)
class Order:
    id: int
    at: dt.date
    items: tuple[str, ...] = ()


class Orders(BaseModel):
    orders: list[int]
    by: str = Field(default="ann", alias="orderedBy")


def through_the_journal(value):
    """Keep a value without a schema as a stage does, and read it back from the text of its row."""
    row, now = Shape().keep(value)
    later = Shape().unpack(orjson.loads(as_json(row)))
    assert same(now, later)
    return later


@pytest.mark.parametrize(
    "value",
    [
        None,
        {"a": [1, 2.5, True, None, "text"]},
        {1: "one", 2: {"three": 4}},
        {(1, 2): {3}, None: frozenset({"x"}), 1.5: b"\0\xff"},
        (1, (2, [3, ("four",)])),
        [math.nan, math.inf, -math.inf, -0.0, 2**80, 3 + 4j],
        ["a\0b", "\ud800", "$type", {"$type": "tuple"}],
        dt.datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=ZoneInfo("Europe/Berlin")),
        [
            dt.datetime(2026, 1, 2, 3, 4, 5, 6),  # noqa: DTZ001  # a time without a zone stays one
            dt.datetime(2026, 1, 2, tzinfo=dt.UTC),
            dt.date(2026, 1, 2),
            dt.time(1, 2),
            dt.timedelta(-1, 5),
        ],
        [uuid.UUID(int=7), Decimal("1.10"), Path("a/b")],
        [Colour.RED, Level.HIGH, {"colour": Colour.RED}],
        [Point(1, (2,)), Counter("aab"), OrderedDict(b=1, a=2)],
        [Order(1, dt.date(2026, 1, 2), ("x",)), {"deep": Order(2, dt.date(2026, 1, 3))}],
        Orders(orders=[1], orderedBy="ben"),
        {"all": [Orders(orders=[])]},
        [np.int64(3), np.float64("nan"), np.bool_(True), np.str_("x"), np.datetime64("2026-01-02T03:04:05", "s")],
        np.array([[1.5, math.nan], [2, 3]]),
        np.array(["2026-01-02"], dtype="datetime64[ns]"),
        pd.DataFrame({"n": [1], "at": [pd.Timestamp("2026-01-02 03:04:05.123456789", tz="Europe/Berlin")]}).to_dict("records"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_it_comes_back_as_it_went_in(value):
    """Value and type are those of before, at every depth."""
    back = through_the_journal(value)
    assert same(back, value)
    assert repr(back) == repr(value)


_PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.dates() | st.uuids() | st.decimals()
_VALUES = st.recursive(
    _PLAIN,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text() | st.integers() | st.dates(), inner, max_size=3) | st.tuples(inner, inner)
    ),
    max_leaves=8,
)


@given(_VALUES)
def test_any_nesting_comes_back(value):
    """Whatever is made of these comes back as it was, also from what the database keeps of it."""
    assert repr(through_the_journal(value)) == repr(value)


class Bare:
    pass


def locally_defined():
    @dataclasses.dataclass
    class Local:
        n: int = 1

    return Local()


class Loose(BaseModel):
    anything: object = None


def with_attribute():
    order = WithDict(1)
    order.extra = 2
    return order


@dataclasses.dataclass
class WithDict:
    n: int


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (pd.DataFrame({"n": [1]}), "it: a pandas.* cannot be stored; return `frame.to_dict"),
        ({"frames": [pd.DataFrame()]}, r"it\['frames'\]\[0\]: a pandas.*to_parquet"),
        (pd.Series([1]), "return `series.to_list"),
        ([Bare()], r"it\[0\]: a .*Bare cannot be stored; return plain values, or a dataclass or pydantic model"),
        (defaultdict(list, a=[1]), "return `dict"),
        ((n for n in "ab"), "return `list"),
        (range(3), "return `list"),
        (Modes.READ | Modes.WRITE, "a .*Modes cannot be rebuilt"),
        (len, "cannot be stored"),
        (locally_defined(), "Local cannot be found by its name; define it in a module"),
        (with_attribute(), "extra is not a field of the dataclass and would be lost"),
        (Loose(anything=(1, 2)), "is read back from its JSON as something else; annotate its fields"),
        (np.array([object()]), "a numpy.ndarray cannot be stored; return `array.tolist"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_cannot_be_kept_is_refused_with_the_way_out(value, said):
    """The sentence says where it is, what it is, and what to return instead."""
    with pytest.raises(Unfit, match=said):
        to_json(value)


def test_a_list_that_contains_itself_is_refused():
    """It ends with a sentence, not with the end of the stack."""
    endless = []
    endless.append(endless)
    with pytest.raises(Unfit, match="contains itself"):
        to_json(endless)


class Measured(BaseModel):
    value: float | None


class More(Orders):
    more: int = 0


@pytest.mark.parametrize(
    ("schema", "value", "said"),
    [
        (Measured, Measured(value=math.nan), "value: it would come back as something else; .*None instead of NaN"),
        (Orders, More(orders=[], more=3), "a More would come back as a Orders; give `schema=More`"),
        (Loose, Loose(anything=(1,)), "anything: it would come back as something else"),
        (Orders, Orders(orders=[], orderedBy="\0"), "NUL"),
    ],
)
def test_a_model_that_would_come_back_as_another_is_refused(schema, value, said):
    """Also a value that fits its schema is refused when JSON would change it in silence."""
    with pytest.raises(ValueError, match=said):
        Shape(schema).keep(value)


def test_what_older_versions_kept_is_read():
    """A row of plain JSON is the value that it always was."""
    assert Shape().unpack({"value": {"1": [None, {"a": 2}]}}) == {"1": [None, {"a": 2}]}


@pytest.mark.parametrize(
    "kept", [{"$type": "dataclass", "class": "nowhere:Order", "of": {}}, {"$type": "enum", "class": "os:system", "of": "x"}]
)
def test_a_row_makes_nothing_but_values(kept):
    """A class that is gone is named, and what is no class of values is not called."""
    with pytest.raises(ValueError, match="is no longer defined before the stage"):
        from_json(kept)
