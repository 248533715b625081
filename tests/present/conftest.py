"""The sample run of this folder as a fixture."""

from __future__ import annotations

import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest


@pytest.fixture(scope="session")
def sample() -> SimpleNamespace:
    """The invented run, its rows, its verdict and its notebooks."""
    return SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("sample.py"))))
