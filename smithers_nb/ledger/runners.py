"""Real work behind a dispatch: a program in a process of its own, such as an agent CLI or `smithers-nb up NOTEBOOK`.

The process is the agent: that it could not be started is a failed attempt to dispatch, and how it ended is its report. Its output goes to
a file as it comes; of a failure the end of it becomes the reason, word for word, and the rest is kept by reference.
"""

from __future__ import annotations

import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from smithers_nb.ledger.agents import agent_completed, submit_work
from smithers_nb.ledger.dispatch import Started, dispatch

if TYPE_CHECKING:
    from smithers_nb.ledger.store import Ledger

_TAIL: Final = 4_000
_LOG: Final = 1_000_000


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

    Returns:
        Whether the work was done and is in review now.
    """
    with tempfile.TemporaryFile() as output:
        started: list[subprocess.Popen[bytes]] = []

        def launch(_bead_id: str, _agent_id: str) -> Started:
            try:
                streams = {"stdout": output, "stderr": subprocess.STDOUT, "stdin": subprocess.DEVNULL}
                process = subprocess.Popen(command, cwd=folder, env=environment, **streams)  # type: ignore[call-overload]  # noqa: S603  # the caller's program
            except OSError as error:
                return Started(ok=False, error=f"{command[0]}: {error.strerror or error}", error_type=type(error).__name__)
            started.append(process)
            return Started(ok=True)

        if not dispatch(ledger, bead_id, agent_id, launch):
            return False
        code, late = _wait(started[0], timeout_s)
        output.seek(0)
        log = output.read(_LOG).decode("utf-8", "replace")
    with ledger.writing() as connection:
        if code == 0 and not late:
            submit_work(ledger, connection, agent_id)
            return True
        said: dict[str, Any] = {"exit_code": code, "signal": signal.Signals(-code).name if code < 0 else None, "log": log or None}
        reason = "\n".join(part for part in (late, log[-_TAIL:].strip()) if part)
        agent_completed(ledger, connection, agent_id, status="failed", reason=reason, autopsy_run_id=run_id, **said)
        return False


def _wait(process: subprocess.Popen[bytes], timeout_s: float | None) -> tuple[int, str]:
    """Wait for a program, and end it when its time is up: its exit status, and that it was late."""
    try:
        return process.wait(timeout_s), ""
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait(), f"ended after {timeout_s:g} s without a result"
