"""The fingerprint: equal for the same failure, different for different ones."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smithers_nb.diagnosis.failure.signature import normalise, signature

SAME = [
    ("connect ECONNREFUSED 127.0.0.1:5439", "connect ECONNREFUSED 10.0.0.7:6000"),
    ("Compute callback timed out after 1200ms See https://smithers.sh/reference/errors", "Compute callback timed out after 30 s"),
    ("ENOENT: no such file or directory, open '/mnt/in/2026-11-17.csv'", "ENOENT: no such file or directory, open '/srv/b/2026-11-18.csv'"),
    ("open C:\\data\\a.csv failed", "open D:\\other\\b.csv failed"),
    ("request req_011CYn6NGKAUEBEW5LYf failed", "request req_022AAn6NGKAUEBEW5LYf failed"),
    ("child run e8635e59-2f5f-4882-b5fe-189ee09b9408 ended", "child run 08635e59-2f5f-4882-b5fe-189ee09b9409 ended"),
    ("\x1b[31mboom\x1b[0m  at\n12:30:01", "boom at 09:00"),
    ("fetch https://a.example/x failed", "fetch http://b.example:80/y?z=1 failed"),
    ("no answer from db.internal:5432", "no answer from localhost:5433"),
    ("try again at Jun 18th, 2026 9:54 AM", "try again at Jul 2nd, 2027 10:01 PM"),
    ("commit 3f2a9bc1 is missing", "commit 77aa01ff is missing"),
    ("geo answered slowly (try 1)", "geo answered slowly (try 22)"),
    ("'/home/a b/c d.txt' is gone", "'/home/x/y.txt' is gone"),
    ("no route to [fe80::1ff:fe23:4567:890a]", "no route to [2001:db8::1]"),
]
DIFFERENT = [
    ("undefined is not an object (evaluating 'a.lines')", "undefined is not an object (evaluating 'a.rows')"),
    ("No module named 'numpy'", "No module named 'scipy'"),
    ("API Error: 529 x", "API Error: 500 x"),
    ("helper ended with exit code 127", "helper ended with exit code 1"),
    ("probability: expected number, received string", "score: expected number, received string"),
    ("open '/a/b.csv' failed", "open '/a/b.json' failed"),
    ("spawn claude ENOENT", "spawn codex ENOENT"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_same_failure(one, other):
    """What varies from run to run does not change the fingerprint."""
    assert normalise(one) == normalise(other)
    assert signature(one) == signature(other)


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_different_failure(one, other):
    """The words that name an error stay in its fingerprint."""
    assert signature(one) != signature(other)


def test_code_is_part():
    """The same words under another code are another failure."""
    assert signature("boom", "ENOENT") != signature("boom", "EACCES")


def test_form():
    """A fingerprint is twelve lower-case hexadecimal characters, for an empty and a broken text too."""
    for message in ("", "x", "\ud800 lone surrogate", "\x00"):
        assert re.fullmatch(r"[0-9a-f]{12}", signature(message))


def test_stable_between_versions():
    """Fingerprints are kept in ledgers, so this one must never change."""
    assert signature("connect ECONNREFUSED 127.0.0.1:5439", "ECONNREFUSED") == signature("connect ECONNREFUSED <host>", "ECONNREFUSED")
    assert signature("boom") == "ef15a6fb2520"


PIECES = ["failed", "exit code 1", "12", "1.5s", "/a/b.ts:3:4", "a.b.c", "https://x.y/z", "2026-01-02", "10:11:12", "::1", "x:80"]
WORDS = st.sampled_from([*PIECES, "'", '"', "(", "-", "<n>", "\n", "\x1b[0m"])


@given(st.one_of(st.text(max_size=200), st.lists(WORDS, max_size=20).map(" ".join), st.lists(WORDS, max_size=20).map("".join)))
def test_idempotent(text):
    """A normalised text is its own normal form."""
    once = normalise(text)
    assert normalise(once) == once


@pytest.mark.parametrize("piece", ["a", "1 ", "/a", "a.", ":", "a-1", "-", "f", "aA1", "'/", "1:", "\x1b[", "a:1."])
def test_megabytes_are_cut(piece):
    """A message of a megabyte costs no more than a short one."""
    started = time.process_time()
    signature(piece * (1_000_000 // len(piece)))
    assert time.process_time() - started < 0.05
