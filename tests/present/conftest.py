"""The sample run of this folder as a fixture."""

from __future__ import annotations

from types import ModuleType

import pytest

from tests.support import sample as invented


@pytest.fixture(scope="session")
def sample() -> ModuleType:
    """The invented run, its rows, its verdict and its notebooks."""
    return invented
