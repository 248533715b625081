"""Measure in processes of their own: wall time from outside, peak memory from inside."""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 1800


class Row(NamedTuple):
    """One line of the table."""

    what: str
    ours: str
    other: str
    ratio: str
    goal: str
    note: str = ""


class Measured(NamedTuple):
    """What a process took; `cpu` is the processor time of it and the processes it waited for."""

    seconds: float
    peak_mb: float
    told: dict[str, Any]
    cpu: float


def environment() -> dict[str, str]:
    """Return the environment of measured commands: bytecode may be cached, nothing is reported or coloured."""
    kept = {name: value for name, value in os.environ.items() if name not in {"PYTHONDONTWRITEBYTECODE", "COLUMNS"}}
    return {**kept, "SMITHERS_NO_REPORT": "1", "SMITHERS_POST_FAILURE": "0", "NO_COLOR": "1"}


def in_own_process(job: str, *arguments: str) -> Measured:
    """Run a function of `jobs.py` in a fresh interpreter; its imports are part of the time.

    Raises:
        RuntimeError: The job failed; the message ends with what it wrote.
    """
    start, used = time.perf_counter(), _children_cpu()
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.jobs", job, *arguments],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        env=environment(),
        cwd=ROOT,
        check=False,
    )
    seconds = time.perf_counter() - start
    if done.returncode:
        raise RuntimeError(f"{job} failed: {done.stderr[-500:]}")
    told = json.loads(done.stdout.splitlines()[-1])
    return Measured(seconds, told.pop("peak_mb"), told, _children_cpu() - used)


def tell(**told: Any) -> None:
    """Print what a job found as its last line, with the peak memory of its process."""
    peak_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    sys.stdout.write(json.dumps({**told, "peak_mb": peak_kb / 1024}) + "\n")


class Call(NamedTuple):
    """One call of a command; `cpu` is the processor time of it and the processes it started and waited for."""

    seconds: float
    cpu: float
    exit_code: int
    output: str


def call(command: Sequence[str], cwd: Path) -> Call:
    """Run a command to its end."""
    start, used = time.perf_counter(), _children_cpu()
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=TIMEOUT_S, env=environment(), cwd=cwd, stdin=subprocess.DEVNULL, check=False
    )
    return Call(time.perf_counter() - start, _children_cpu() - used, done.returncode, (done.stdout + done.stderr)[-400:])


def _children_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def in_pairs(first: Callable[[], Call], second: Callable[[], Call], times: int) -> tuple[list[Call], list[Call]]:
    """Run two commands in turn, so that both meet the same weather, after one run of each that does not count."""
    first(), second()
    pairs = [(first(), second()) if i % 2 else (second(), first())[::-1] for i in range(times)]
    return [one for one, _ in pairs], [two for _, two in pairs]


def median(calls: Sequence[Call], what: Literal["seconds", "cpu"] = "seconds") -> float:
    """Take the middle time of some calls."""
    return statistics.median(getattr(one, what) for one in calls)


def seconds(value: float) -> str:
    """Write a time for the table."""
    if value < 0.01:
        return f"{value * 1000:.2f} ms"
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.2f} s"


def times(value: float) -> str:
    """Write a ratio for the table."""
    return f"{value:.2f}x" if value < 10 else f"{value:,.0f}x"
