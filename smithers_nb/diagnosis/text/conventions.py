"""The word lists of `conventions.toml`: how people name repeated work, and how tasks report a gate."""

from __future__ import annotations

import tomllib
from functools import lru_cache
from pathlib import Path
from typing import cast


@lru_cache(maxsize=32)
def words(table: str, key: str) -> tuple[str, ...]:
    """Return one list of words."""
    return tuple(cast("list[str]", _tables()[table][key]))


@lru_cache(maxsize=1)
def _tables() -> dict[str, dict[str, object]]:
    return tomllib.loads(Path(__file__).with_name("conventions.toml").read_text("utf-8"))
