"""How a run is executed: its limits, kernel, place of artifacts. Given when it is started, and changed when it is resumed.

They stand in the run's `config_json`; a change is written into the log, so that nobody wonders why one execution differs from the next.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from smithers_nb.engine.artifacts import store
from smithers_nb.engine.control.run_state import config_of, run_row
from smithers_nb.engine.journal.records import append_event, as_json
from smithers_nb.engine.journal.schema import runs
from smithers_nb.errors import ParameterError

if TYPE_CHECKING:
    import sqlalchemy as sa

_SHOWN: Final = 20


class Settings(NamedTuple):
    """Start options of a run; what is None stays as it is.

    Attributes:
        cell_timeout_s: Seconds that one cell may take.
        total_timeout_s: Seconds that one execution may take, the start of the kernel included.
        kernel: Name of a kernel spec, instead of the one that the notebook names.
        hot: Whether edits of cells that have not run yet apply.
        post_failure: Whether a failure is looked into by itself.
        artifacts: Folder or URL that gets what the run writes.
    """

    cell_timeout_s: float | None = None
    total_timeout_s: float | None = None
    kernel: str | None = None
    hot: bool | None = None
    post_failure: bool | None = None
    artifacts: str | None = None

    def checked(self) -> Settings:
        """Return them, when they can be used.

        Raises:
            ParameterError: A limit is no positive number, a kernel is not installed, or nothing can be written to that place.
        """
        for name, seconds in (("cell", self.cell_timeout_s), ("total", self.total_timeout_s)):
            if seconds is not None and not 0 < seconds < float("inf"):
                raise ParameterError(f"the {name} timeout is {seconds}", hint="give a positive number of seconds")
        if self.kernel is not None:
            _check_kernel(self.kernel)
        store.check(self.artifacts or "")
        return self

    def applied_to(self, config: dict[str, Any], folder: Path) -> dict[str, Any]:
        """Return a configuration with these in it.

        Args:
            config: A run's configuration; empty for a new run.
            folder: What a relative folder of artifacts is relative to.
        """
        limits = {"cellTimeoutS": self.cell_timeout_s, "totalTimeoutS": self.total_timeout_s, "name": self.kernel}
        given: dict[str, Any] = {"hot": self.hot, "postFailure": self.post_failure}
        if self.artifacts is not None:
            given["artifacts"] = self.artifacts if store.is_url(self.artifacts) else str(folder / Path(self.artifacts).expanduser())
        kernel = dict(config.get("kernel") or {}) | {name: value for name, value in limits.items() if value is not None}
        return config | {name: value for name, value in given.items() if value is not None} | {"kernel": kernel}


def change(connection: sa.Connection, run_id: str, settings: Settings | None) -> None:
    """Let a run be executed with other settings from now on, in the transaction that resumes it."""
    if settings is None:
        return
    before = config_of(run_row(connection, run_id))
    now = settings.applied_to(before, Path.cwd())
    if now == before:
        return
    connection.execute(runs.update().where(runs.c.run_id == run_id).values(config_json=as_json(now)))
    changed = {name: now[name] for name in now if now[name] != before.get(name)}
    append_event(connection, run_id, "RunSettingsChanged", {"from": {name: before.get(name) for name in changed}, "to": changed})


def _check_kernel(name: str) -> None:
    from jupyter_client.kernelspec import KernelSpecManager

    from smithers_nb.engine.kernels.manager import OURS

    there = {*KernelSpecManager().find_kernel_specs(), *OURS}
    if name not in there:
        listed = ", ".join(sorted(there)[:_SHOWN])
        raise ParameterError(f"there is no kernel {name[:60]!r} here", hint=f"installed are {listed}; `jupyter kernelspec list` shows them")
