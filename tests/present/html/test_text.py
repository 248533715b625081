"""Text of unknown origin is fit to be looked at."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smithers_nb.present.html.text import clip, duration, one_line, shown, visible, when, without_ansi


@given(st.text())
def test_nothing_obeys_what_was_recorded(text: str) -> None:
    """No control or direction character survives, and the result can always be encoded."""
    seen = visible(text)
    assert not any((ord(char) < 32 and char not in "\n\t") or 0x7F <= ord(char) < 0xA0 or 0x202A <= ord(char) <= 0x202E for char in seen)
    seen.encode()
    assert visible(seen) == seen


def test_controls_are_shown_not_dropped() -> None:
    """What was there can still be seen."""
    assert visible("a\x1b[31m\u202eb\ud800") == "a\\x1b[31m\\u202eb\\ud800"


def test_colours_of_a_terminal_are_dropped_from_tracebacks() -> None:
    """Escape sequences go, their text stays."""
    assert without_ansi("\x1b[0;31mTypeError\x1b[0m \x1b]8;;http://x\x07link\x1b]8;;\x07") == "TypeError link"


def test_long_text_keeps_both_ends_and_says_what_is_missing() -> None:
    """A megabyte becomes a few thousand characters with beginning, end and a count."""
    text = clip("a" * 500_000 + "b" * 500_000, 1_000)
    assert text.startswith("a" * 750)
    assert text.endswith("b" * 250)
    assert "999,000 more characters" in text


def test_secrets_and_line_breaks_leave_a_line() -> None:
    """One line is one line, without secrets."""
    assert one_line("password=hunter2\n next\tline") == "password=[REDACTED] next line"
    assert shown(None) == ""


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, ""),
        (0.0, "0 ms"),
        (0.25, "250 ms"),
        (0.9996, "1.0 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min 00 s"),
        (60, "1 min 00 s"),
        (3_599.6, "1 h 00 min"),
        (86_400, "1 d 0 h"),
        (61, "1 min 01 s"),
        (3_661, "1 h 01 min"),
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
