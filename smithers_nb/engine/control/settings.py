"""How a run is executed: limits, kernel, artifact folder. Set when it is started, and changeable when it is resumed.

The settings are part of the run's `config_json`; a change is logged, so that differences between executions can be explained.
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

_MAX_NAMES: Final = 20


class Settings(NamedTuple):
    """Start options of a run; None keeps the current value.

    Attributes:
        cell_timeout_s: Time limit of one cell in seconds.
        total_timeout_s: Time limit of one execution in seconds, including kernel start.
        kernel: Name of a kernel spec, overriding the notebook's.
        hot: Whether edits of cells that have not run yet apply.
        post_failure: Whether a failure launches an autopsy.
        artifacts: Folder or URL for artifacts.
    """

    cell_timeout_s: float | None = None
    total_timeout_s: float | None = None
    kernel: str | None = None
    hot: bool | None = None
    post_failure: bool | None = None
    artifacts: str | None = None

    def checked(self) -> Settings:
        """Return the settings after checking that they are valid.

        Raises:
            ParameterError: A limit is not a positive number, the kernel is not installed, or artifacts cannot be written there.
        """
        for name, seconds in (("cell", self.cell_timeout_s), ("total", self.total_timeout_s)):
            if seconds is not None and not 0 < seconds < float("inf"):
                raise ParameterError(f"the {name} timeout is {seconds}", hint="give a positive number of seconds")
        if self.kernel is not None:
            _check_kernel(self.kernel)
        store.check(self.artifacts or "")
        return self

    def applied_to(self, config: dict[str, Any], folder: Path) -> dict[str, Any]:
        """Return a configuration with these settings applied.

        Args:
            config: A run's configuration; empty for a new run.
            folder: Base of a relative artifact folder.
        """
        limits = {"cellTimeoutS": self.cell_timeout_s, "totalTimeoutS": self.total_timeout_s, "name": self.kernel}
        given: dict[str, Any] = {"hot": self.hot, "postFailure": self.post_failure}
        if self.artifacts is not None:
            given["artifacts"] = self.artifacts if store.is_url(self.artifacts) else str(folder / Path(self.artifacts).expanduser())
        kernel = dict(config.get("kernel") or {}) | {name: value for name, value in limits.items() if value is not None}
        return config | {name: value for name, value in given.items() if value is not None} | {"kernel": kernel}


def change(connection: sa.Connection, run_id: str, settings: Settings | None) -> None:
    """Change the settings of a run, in the transaction that resumes it, and log the change."""
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
        listed = ", ".join(sorted(there)[:_MAX_NAMES])
        raise ParameterError(f"there is no kernel {name[:60]!r} here", hint=f"installed are {listed}; `jupyter kernelspec list` shows them")
