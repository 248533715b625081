"""What was run on a run directory: one recorded command per line of JSON.

Takes the spelling of a recorder (`env`, `exit_code`, `duration_s`, `started_at`) and that of our own step log (`env_redacted`, `exit`,
`duration`, `at`); gives the same rows for both.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import orjson

from smithers_nb.errors import SourceNotFound, SourceUnreadable
from smithers_nb.model.finding import Finding

_MAX_LINES: Final = 10_000
_MAX_BYTES: Final = 64_000_000


class CommandRecord(Finding):
    """One command and how it ended.

    Attributes:
        n: Its place among the recorded commands, from 1.
        argv: Program and arguments, as given.
        env: What it saw of the environment, secrets as `<set:…>`.
        at: When it began, as recorded; empty when it was not.
        duration: Seconds that it took; None when not recorded.
        exit: Exit code; None when it was ended or not recorded.
        stdout: What it wrote to standard output.
        stderr: What it wrote to standard error.
    """

    n: int
    argv: tuple[str, ...] = ()
    env: dict[str, str]
    at: str = ""
    duration: float | None = None
    exit: int | None = None
    stdout: str = ""
    stderr: str = ""

    @property
    def failed(self) -> bool:
        """Whether it did not end with exit code 0."""
        return self.exit != 0


def read_commands(file: str | Path) -> tuple[tuple[CommandRecord, ...], tuple[str, ...]]:
    """Read recorded commands.

    Returns:
        The commands in their order, and one sentence per line that could not be read, such as the one a killed recorder cut off.

    Raises:
        SourceNotFound: There is no such file.
        SourceUnreadable: It may not be read, or has more than 64 MB.
    """
    path = Path(file)
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise SourceUnreadable(f"{path} has more than {_MAX_BYTES // 1_000_000} MB", hint="give the record of one run")
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        raise SourceNotFound(f"there is no file {path}", searched=(str(path),), hint="give the recorded commands as JSON lines") from None
    except OSError as error:
        raise SourceUnreadable(f"{path}: {error.strerror}", hint="give a file that can be read") from error
    records: list[CommandRecord] = []
    problems: list[str] = []
    for number, line in enumerate(lines[:_MAX_LINES], 1):
        if line.strip():
            record = _record(line, len(records) + 1)
            if record is None:
                problems.append(f"line {number} of {path.name} is not a recorded command")
            else:
                records.append(record)
    return tuple(records), tuple(problems)


def _record(line: bytes, n: int) -> CommandRecord | None:
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(row, dict) or not isinstance(argv := row.get("argv"), list):
        return None
    env = row.get("env", row.get("env_redacted"))
    return CommandRecord(
        n=n,
        argv=tuple(map(str, argv)),
        env={str(key): str(value) for key, value in env.items()} if isinstance(env, Mapping) else {},
        at=_text(row, "started_at", "at"),
        duration=_number(row, "duration_s", "duration"),
        exit=None if (code := _number(row, "exit_code", "exit")) is None else int(code),
        stdout=_text(row, "stdout"),
        stderr=_text(row, "stderr"),
    )


def _text(row: Mapping[str, Any], *names: str) -> str:
    return next((row[name] for name in names if isinstance(row.get(name), str)), "")


def _number(row: Mapping[str, Any], *names: str) -> float | None:
    return next((row[name] for name in names if isinstance(row.get(name), int | float) and not isinstance(row[name], bool)), None)
