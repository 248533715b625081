"""Text of unknown origin is fit to be looked at."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smithers_nb.present.html.text import clip, one_line, shown, visible, without_ansi


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


@pytest.mark.parametrize("text", ['\x1b["\\nsk-ant-api03-abcDEF123456 "]', "sk-ant-api03-\x1b[31mabcDEF123456\x1b[0m"])
def test_no_colour_hides_a_secret(text):
    """A sequence that takes along what sets a secret apart, and one in the middle of it."""
    assert "abcDEF" not in shown(without_ansi(text))
