"""A worker that also launches autopsies: in the foreground for `smithers-nb worker`, in the background otherwise.

As a program (`python -m smithers_nb.workflows.triggers.background`) it is the worker that `ensure_worker` starts; it exits when idle.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from smithers_nb.engine.workers import client

if TYPE_CHECKING:
    from smithers_nb.engine.execution.outcome import Outcome
    from smithers_nb.engine.location import Location


def ensure_worker(location: Location) -> bool:
    """Start a background worker unless one is alive; return whether one was started."""
    return client.ensure_worker(location, [sys.executable, "-m", __name__])


def ending_signals() -> list[signal.Signals]:
    """Return the signals by which a service manager or a closed terminal ends us, except those ignored, as under `nohup`."""
    known = (getattr(signal, name, None) for name in ("SIGTERM", "SIGHUP"))  # not every system has both
    return [number for number in known if number is not None and signal.getsignal(number) is signal.SIG_DFL]


def serve(location: Location, report: Callable[[Outcome], None], *, concurrency: int | None = None, until_idle: bool = False) -> None:
    """Work until Ctrl-C or a signal to stop.

    Args:
        location: Project and database.
        report: Called with the outcome of each execution, before an autopsy is launched.
        concurrency: How many notebooks to run at once; defaults to the number of cores.
        until_idle: Stop after some seconds without work.

    Raises:
        JournalUnusable: The journal cannot be opened.
    """
    from smithers_nb.engine.workers.worker import work
    from smithers_nb.workflows.triggers.on_run_end import on_outcome

    follow, stop = on_outcome(location), threading.Event()

    def ended(outcome: Outcome) -> None:
        report(outcome)
        follow(outcome)

    for number in (signal.SIGINT, *ending_signals()):
        signal.signal(number, lambda *_: stop.set())
    work(location, concurrency=concurrency, until_idle=until_idle, on_outcome=ended, stop=stop)


def line_of(outcome: Outcome) -> str:
    """Return how an execution ended, as one line."""
    return f"{outcome.run_id}  {outcome.status}" + (f"  {outcome.reason.message}" if outcome.reason else "")


def main() -> None:
    """Run the background worker of the project named in the environment."""
    from smithers_nb.engine.location import Location
    from smithers_nb.engine.stages.context import JOURNAL, ROOT

    location = Location(Path(os.environ.pop(ROOT)), os.environ.pop(JOURNAL))
    serve(location, lambda outcome: print(f"smithers-nb: {line_of(outcome)}", file=sys.stderr, flush=True), until_idle=True)  # noqa: T201  # its log


if __name__ == "__main__":
    main()
