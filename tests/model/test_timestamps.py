"""The ways in which people write a point in time."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smithers_nb.model.timestamps import epoch_ms

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
