"""Errors tell what a person can do."""

from __future__ import annotations

import traceback

import pytest

from smithers_nb import connect
from smithers_nb.errors import SmithersNbError


def test_a_traceback_ends_with_the_hint(tmp_path) -> None:
    """Where nobody catches an error, such as in a notebook's cell, the hint stands below it."""
    with pytest.raises(SmithersNbError) as caught:
        connect(tmp_path / "nowhere").run("x")
    assert caught.value.hint
    assert "".join(traceback.format_exception(caught.value)).endswith(f"hint: {caught.value.hint}\n")
