"""How people write points in time, and how times are shown to them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smithers_nb.model.timestamps import duration, epoch_ms, span, when

NOON = 1_795_176_000_000


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        (f" {NOON}\n", NOON),
        ("2026-11-20T12:00:00Z", NOON),
        ("2026-11-20 12:00", NOON),
        ("2026-11-20T14:00:00+02:00", NOON),
        ("2026-11-20T12:00:00.025", NOON + 25),
        ("2026-11-20", NOON - 12 * 3_600_000),
        ("100000000000", 100_000_000_000),
        ("99999999999", None),
        ("20261120", None),
        ("-1795176000000", None),
        ("9" * 30, None),
        ("٣" * 13, None),
        ("noon", None),
        ("", None),
    ],
)
def test_spellings(text: str, moment: int | None) -> None:
    """Milliseconds and ISO times are read, without a zone as UTC; seconds, dates without hyphens and words are no moment."""
    assert epoch_ms(text) == moment


@given(st.datetimes(min_value=datetime(1973, 4, 1), max_value=datetime(9999, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001  # naive by contract
def test_both_spellings_agree(stamp: datetime) -> None:
    """A moment written as ISO and as milliseconds is the same one."""
    stamp = stamp.replace(microsecond=stamp.microsecond // 1000 * 1000)
    moment = epoch_ms(stamp.isoformat())
    assert moment is not None
    assert epoch_ms(str(moment)) == moment
    assert datetime.fromtimestamp(moment // 1000, UTC) == stamp.replace(microsecond=0)


@given(st.text())
def test_any_text_is_answered(text: str) -> None:
    """No text makes it fail."""
    assert isinstance(epoch_ms(text), int | None)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, ""),
        (0.0, "0 ms"),
        (0.25, "250 ms"),
        (0.9996, "1.0 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min"),
        (60, "1 min"),
        (3_599.6, "1 h"),
        (86_400, "1 d"),
        (61, "1 min 1 s"),
        (3_661, "1 h 1 min"),
        (90_000, "1 d 1 h"),
        (-1, "0 ms"),
    ],
)
def test_durations_are_told_in_words(seconds: float | None, words: str) -> None:
    """Two units at most, as a person would say it."""
    assert duration(seconds) == words


@given(st.none() | st.integers())
def test_any_time_can_be_written(ms: int | None) -> None:
    """Times outside the calendar are shown as they are."""
    assert isinstance(when(ms), str)


def test_times_are_utc() -> None:
    """A moment is written to the second, with its zone."""
    assert when(0) == "1970-01-01 00:00:00 UTC"
    assert when(10**18) == str(10**18)


def test_two_units_are_enough() -> None:
    """Nobody needs the seconds of a day."""
    lengths = (-5, 999, 1_000, 61_000, 7_199_999, 90_061_000)
    assert [span(ms) for ms in lengths] == [
        "0 s",
        "0 s",
        "1 s",
        "1 min 1 s",
        "1 h 59 min",
        "1 d 1 h",
    ]


@given(st.integers())
def test_any_length_of_time_can_be_written(ms: int) -> None:
    """Times come out of other people's stores."""
    assert span(ms)
