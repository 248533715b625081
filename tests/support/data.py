"""Where what the tests read lies."""

from __future__ import annotations

from pathlib import Path

SUPPORT = Path(__file__).resolve().parent
TESTS = SUPPORT.parent
DATA = TESTS / "data"
CORPUS = TESTS.parents[1] / "shared" / "corpus"
