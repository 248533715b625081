"""What session logs are measured against, in a process of its own; see `jobs`."""

from __future__ import annotations

import json
from pathlib import Path

from tests.benchmarks.measure import tell


def sessions_parse(place: str) -> None:
    """Every line of one log, or of a folder of them, by `json.loads`."""
    path = Path(place)
    count = size = 0
    for file in sorted(path.glob("*.jsonl")) if path.is_dir() else [path]:
        with file.open("rb") as opened:
            for line in opened:
                json.loads(line)
                count, size = count + 1, size + len(line)
    tell(lines=count, bytes=size)


JOBS = (sessions_parse,)
