"""Plain words stand beside an error that is long or keeps changing, and beside no other."""

from __future__ import annotations

import pytest

from smithers_nb.diagnosis.advice.error_summary import error_summary, is_simple
from smithers_nb.model.verdict import Failure, Link


def failed(*messages, signatures=("s",)):
    return Failure(run_id="r", node_id="n", kind="attempt", chain=tuple(Link(message=m) for m in messages), signatures=signatures)


@pytest.mark.parametrize(
    "reason",
    [
        "dispatch exhausted",
        "admin force-fail",
        "connect ECONNREFUSED 127.0.0.1:5440",
        "Error: " + "x" * 200,
        "",
        "one line\n",
        "Command failed: magick\nno such file",
    ],
)
def test_a_simple_reason_has_no_summary(reason):
    """A short reason says all by itself, however often it came."""
    assert is_simple(reason)
    assert error_summary(failed(reason, signatures=("s", "s", "s"))) == ""


def test_a_log_is_put_in_words():
    """Size, the line that says most, what repeats, and how it begins and ends."""
    log = "\n".join(
        [
            "starting build",
            *(f"WARN retry {n} of fetch failed" for n in range(40)),
            "error TS2304: Cannot find name 'Foo'",
            "done with errors",
        ]
    )
    said = error_summary(failed("short wrapper", log))
    assert "The error text has 43 lines (1.3 kB)." in said
    assert "What it says most is “error TS2304: Cannot find name 'Foo'”." in said
    assert "40 of its lines say the same as “WARN retry 0 of fetch failed”." in said
    assert "It begins with “starting build” and ends with “done with errors”." in said


def test_attempts_that_differ_are_put_in_words(attempt):
    """Attempts that failed each in another way are counted, and the first and the last are quoted."""
    rows = [
        attempt(run_id="r", node_id="n", attempt=1, state="failed", started_at=1, error_message="cannot find module auth"),
        attempt(run_id="r", node_id="n", attempt=2, state="failed", started_at=2, error_message="timed out"),
        attempt(run_id="r", node_id="other", attempt=1, state="failed", started_at=3, error_message="not this one"),
    ]
    said = error_summary(failed("timed out", signatures=("a", "b")), rows)
    assert said == "2 attempts failed in 2 different ways. The first said “cannot find module auth”, the last “timed out”."


def test_secrets_are_not_in_it():
    """A key in a long text is in none of the quotes."""
    key = "sk-proj-" + "a1B2c3D4" * 4
    said = error_summary(failed("\n".join([f"fatal error: login with {key} failed"] * 5)))
    assert said
    assert key not in said


def test_megabytes_are_put_in_words_at_once():
    """A huge log costs no more than its first lines."""
    import time

    begun = time.process_time()
    assert "kB" in error_summary(failed("x = y\n" * 500_000))
    assert time.process_time() - begun < 2
