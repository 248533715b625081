"""Real work behind a dispatch: a program in a process of its own, such as an agent CLI or `smithers-nb up NOTEBOOK`.

The process is the agent: that it could not be started is a failed attempt to dispatch, and how it ended is its report. Its output goes to
a file as it comes; of a failure the end of it becomes the reason, word for word, and the rest is kept by reference.
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from smithers_nb.ledger.agents import agent_completed, finish_work, renew_lease, submit_work
from smithers_nb.ledger.dispatch import Started, dispatch

if TYPE_CHECKING:
    from smithers_nb.ledger.store import Ledger

_TAIL: Final = 4_000
_LOG: Final = 1_000_000
_BEATS: Final = 3
"""Heartbeats within the lifetime of a lease."""


def work(  # noqa: PLR0913  # what a process is started with
    ledger: Ledger,
    bead_id: str,
    agent_id: str,
    command: Sequence[str],
    *,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
    timeout_s: float | None = None,
    run_id: str | None = None,
    base: str | None = None,
    lease_s: float | None = None,
) -> bool:
    """Dispatch a bead to a program, wait for its end, and write what it came to.

    Args:
        ledger: Where the bead is.
        bead_id: An open bead.
        agent_id: An agent of the ledger; the process works in its name.
        command: Program and arguments.
        folder: Where it works.
        environment: Its environment; the current one by default.
        timeout_s: Seconds after which it is ended and has failed.
        run_id: Run of ours that it executes, whose autopsy is linked when it fails.
        base: Commit of the folder's repository that the work begins from; without a commit after it the work was not done.
        lease_s: Lifetime of the agent's lease of the bead, renewed while the process lives.

    Returns:
        Whether the work was done and is in review now.
    """
    with tempfile.TemporaryFile() as output:
        started: list[subprocess.Popen[bytes]] = []

        def launch(_bead_id: str, _agent_id: str) -> Started:
            try:
                streams = {"stdout": output, "stderr": subprocess.STDOUT, "stdin": subprocess.DEVNULL}
                streams["start_new_session"] = True  # so that it can be ended with everything it started
                process = subprocess.Popen(command, cwd=folder, env=environment, **streams)  # type: ignore[call-overload]  # noqa: S603  # the caller's program
            except OSError as error:
                return Started(ok=False, error=f"{command[0]}: {error.strerror or error}", error_type=type(error).__name__)
            started.append(process)
            return Started(ok=True)

        if not dispatch(ledger, bead_id, agent_id, launch, lease_ms=None if lease_s is None else round(lease_s * 1_000)):
            return False
        try:
            code, late = _wait(started[0], timeout_s, lambda: _beat(ledger, agent_id), lease_s)
        except BaseException:  # Ctrl-C no longer reaches it, because it has a session of its own
            _end(started[0])
            raise
        output.seek(0)
        log = output.read(_LOG).decode("utf-8", "replace")
    with ledger.writing() as connection:
        if code == 0 and not late and base is not None:
            return finish_work(ledger, connection, agent_id, commits=_commits(folder, base))
        if code == 0 and not late:
            submit_work(ledger, connection, agent_id)
            return True
        said: dict[str, Any] = {"exit_code": code, "signal": signal.Signals(-code).name if code < 0 else None, "log": log or None}
        reason = "\n".join(part for part in (late, log[-_TAIL:].strip()) if part)
        agent_completed(ledger, connection, agent_id, status="failed", reason=reason, autopsy_run_id=run_id, **said)
        return False


def _wait(process: subprocess.Popen[bytes], timeout_s: float | None, beat: Callable[[], None], lease_s: float | None) -> tuple[int, str]:
    """Wait for a program, renew its lease meanwhile, and end it when its time is up: its exit status, and that it was late."""
    end = None if timeout_s is None else time.monotonic() + timeout_s
    while True:
        left = None if end is None else max(0.0, end - time.monotonic())
        pauses = [pause for pause in (left, None if lease_s is None else lease_s / _BEATS) if pause is not None]
        try:
            return process.wait(min(pauses, default=None)), ""
        except subprocess.TimeoutExpired:
            if end is not None and time.monotonic() >= end:
                return _end(process), f"ended after {timeout_s:g} s without a result"
            beat()


def _end(process: subprocess.Popen[bytes]) -> int:
    """Kill a program and what it started, and return its exit status."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    return process.wait()


def _beat(ledger: Ledger, agent_id: str) -> None:
    with ledger.writing() as connection:
        renew_lease(ledger, connection, agent_id)


def _commits(folder: Path | None, base: str) -> int:
    """Count the commits of a repository since one of its commits."""
    command = ["git", "rev-list", "--count", f"{base}..HEAD"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)  # noqa: S603  # git itself, and a commit
    return int(done.stdout) if done.returncode == 0 else 0
