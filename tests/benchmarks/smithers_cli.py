"""Where the real Smithers CLI is, if it is installed."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

USUAL = Path.home() / "smithers-real" / "node_modules" / ".bin" / "smithers"


def real_cli() -> list[str] | None:
    """Find the command of the real CLI: `$SMITHERS_CLI`, else where a developer's check installs it; None when neither is there."""
    path = Path(os.environ.get("SMITHERS_CLI") or USUAL)
    if not path.exists():
        return None
    beside = path.parent / "bun"
    bun = str(beside) if beside.exists() else shutil.which("bun")
    return [bun, str(path)] if bun else None


def our_cli() -> list[str] | None:
    """Find the command of this package in the environment that runs the benchmarks."""
    path = Path(sys.executable).with_name("smithers-nb")
    return [str(path)] if path.exists() else None
