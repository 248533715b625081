"""Times and texts for people."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from smithers_nb.diagnosis.text.durations import clock, cut, span


def test_two_units_are_enough() -> None:
    """Nobody needs the seconds of a day."""
    assert [span(ms) for ms in (-5, 999, 1_000, 61_000, 7_199_999, 90_061_000)] == [
        "0 s",
        "0 s",
        "1 s",
        "1 min 1 s",
        "1 h 59 min",
        "1 d 1 h",
    ]


def test_a_moment_is_written_in_utc() -> None:
    """The reader may sit in another zone than the run."""
    assert clock(1795242600000) == "2026-11-21 06:30:00 UTC"


@given(st.integers())
def test_no_number_is_refused(ms: int) -> None:
    """Times come out of other people's stores."""
    assert clock(ms)
    assert span(ms)


@given(st.text())
def test_a_cut_text_is_one_short_line(text: str) -> None:
    """Megabytes and line breaks do not reach a line of a table."""
    line = cut(text, 20)
    assert len(line) <= 20
    assert len(line.splitlines()) <= 1
