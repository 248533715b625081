"""Session logs of agent CLIs: a folder of them listed and its failures grouped, and one big log explained, beside parsing the same JSON."""

from __future__ import annotations

import io
import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tests.benchmarks.measure import Row, environment, in_own_process, seconds, times
from tests.benchmarks.smithers_cli import our_cli
from tests.support.sessions import api_error, call, log, result, retry, said, user

if TYPE_CHECKING:
    from tests.benchmarks.sizes import Sizes

_BIG_MB = 50


def sessions(sizes: Sizes) -> Iterator[Row]:
    """List and group a folder of logs of a megabyte each; explain one of fifty."""
    folder, big = sizes.cache / f"sessions-{sizes.sessions}", sizes.cache / f"session-{_big_mb(sizes)}mb.jsonl"
    if not big.is_file():
        _make(folder, big, sizes)
    parse = in_own_process("sessions_parse", str(folder))
    size = f"{sizes.sessions:,} logs of {parse.told['bytes'] / sizes.sessions / 1e6:.1f} MB"
    for what, command, goal in (
        ("list of sessions", ("ps", "--all"), "<= 2 s"),
        ("failures of sessions grouped", ("failures",), "<= 30 s"),
    ):
        ours = _command(*command, "--source", f"sessions:{folder}")
        yield Row(what, seconds(ours.seconds), seconds(parse.seconds), times(ours.seconds / parse.seconds), goal, f"json.loads, {size}")
        yield Row("memory of that", f"{ours.peak_mb:.0f} MB", f"{parse.peak_mb:.0f} MB", "", "<= 200 MB", f"{ours.lines:,} lines printed")
    alone, explained = in_own_process("sessions_parse", str(big)), _command("why", str(big), "--format", "json")
    ratio = times(explained.seconds / alone.seconds)
    note = f"json.loads, {big.stat().st_size / 1e6:.0f} MB"
    yield Row("one session explained", seconds(explained.seconds), seconds(alone.seconds), ratio, "<= 1.5 s", note)


class _Ran(NamedTuple):
    seconds: float
    peak_mb: float
    lines: int


def _command(*arguments: str) -> _Ran:
    """Run our command, as a process of its own, and take its peak memory."""
    start = time.perf_counter()
    with subprocess.Popen(
        [*(our_cli() or ()), *arguments], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment()
    ) as process:
        lines = len((process.stdout or io.BytesIO()).readlines())
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{arguments[0]} ended with {process.returncode}")
    return _Ran(time.perf_counter() - start, used.ru_maxrss / 1024, lines)


def _big_mb(sizes: Sizes) -> int:
    return min(_BIG_MB, sizes.sessions)


def _make(folder: Path, big: Path, sizes: Sizes) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(sizes.sessions):
        ends = [api_error('API Error: 529 {"error":{"message":"Overloaded"}}'), said("Done.", message="end")][number % 3 > 0]
        (folder / f"{number:08}.jsonl").write_bytes(_a_megabyte(number) + log(ends))
    big.write_bytes(b"".join(_a_megabyte(number) for number in range(_big_mb(sizes))) + log(said("Done.", message="end")))


def _a_megabyte(number: int) -> bytes:
    """Return some hundred records: prompts, calls with long and short results, a retry."""
    output = json.dumps({"log": "GET /orders 200 12 ms " * 150})
    turn = [user("go on"), retry(1), *(one for key in range(8) for one in _used(f"c{key}", f"m{number}-{key}", output)), said("ok")]
    return log(*turn) * 35


def _used(key: str, message: str, output: str) -> Iterator[dict[str, object]]:
    yield call(key, "Bash", message, command="make check")
    yield result(key, output)
