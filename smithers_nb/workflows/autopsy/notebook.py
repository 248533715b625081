"""The autopsy as an executed notebook and a report: what `smithers-nb autopsy` leaves behind.

The notebook runs the stages of `workflows.autopsy.stages` in a kernel of its own; the verdict comes out of the executed notebook, and the
report is made of it, also when a stage fails. When artifacts go to a URL, both are made in a folder of their own and put there.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from smithers_nb.artifacts import artifact_path
from smithers_nb.engine.artifacts import store
from smithers_nb.engine.notebook.executor import Setting, execute, validated
from smithers_nb.errors import ArtifactsNotWritten, NotebookError, ReportError
from smithers_nb.private_folder import PrivateFolder
from smithers_nb.resources import resource
from smithers_nb.sources.locate import open_source
from smithers_nb.sources.snapshot import Snapshot
from smithers_nb.sources.urls import lent
from smithers_nb.workflows.autopsy.eligibility import refuse_unless_failed
from smithers_nb.workflows.autopsy.parameters import AutopsyParameters
from smithers_nb.workflows.autopsy.results import VERDICT_MIMETYPE, VerdictRow
from smithers_nb.workflows.autopsy.views import headline_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from threading import Event

    from smithers_nb.engine.kernels.pool import KernelPool
    from smithers_nb.engine.notebook.papermill_engine import Progress
    from smithers_nb.present.html.markup import Card

_NOTEBOOK: Final = "notebooks/autopsy.ipynb"
_KIND: Final = "autopsy"
_STOPPED: Final = ".stopped"
"""Ends the name of a report without a verdict."""


@dataclass(frozen=True)
class AutopsyRecord:
    """What an autopsy leaves behind.

    Attributes:
        verdict: The row.
        notebook: The executed notebook: its file, or its URL.
        report: The same as one HTML file, or its URL.
    """

    verdict: VerdictRow
    notebook: Path | str
    report: Path | str


def run_autopsy_notebook(  # noqa: PLR0913  # all but the run and its place are options by name
    run_id: str,
    source: str | Path | None = None,
    *,
    workflow_path: str | Path | None = None,
    now: int | str | None = None,
    provider: str | None = None,
    artifacts: str | Path = Path("artifacts"),
    cell_timeout_s: float = 600.0,
    total_timeout_s: float = 1800.0,
    progress: Progress | None = None,
    kernels: KernelPool | None = None,
    cancelled: Event | None = None,
) -> AutopsyRecord:
    """Run the autopsy notebook on a failed run.

    Args:
        run_id: Its id; a unique beginning is enough.
        source: Where it lives: a path, a URL, or None for the current folder.
        workflow_path: The workflow's file, when it is not where the run was started.
        now: Judge as of this time, epoch milliseconds or ISO; the clock by default.
        provider: Who investigates: `internal`, `remote_llm` or `codex_exec`; `AGENT_PROVIDER`, else `internal`, by default.
        artifacts: Folder or URL that gets `autopsy/RUN.ipynb` and `autopsy/RUN.html`; earlier ones of the same run are replaced. An autopsy
            that stops before its verdict writes `autopsy/RUN.stopped.html` instead.
        cell_timeout_s: Seconds that one stage may take.
        total_timeout_s: Seconds that the whole notebook may take.
        progress: Called before each cell with cells done, all cells, heading.
        kernels: Prewarmed kernels; without them one is started from nothing.
        cancelled: Ends the autopsy once it is set.

    Raises:
        ParameterError: One of these is wrong.
        RunNotFound: No run has this id.
        RunNotFailed: The run did not fail.
        SourceError: The store cannot be read.
        NotebookError: A stage failed; `notebook` and `report` name what was written all the same.
        ReportError: The report could not be written; the notebook is there.
        ArtifactsNotWritten: They could not be put at the URL; `kept` has them.
    """
    store.check(artifacts)
    given = {"target_run_id": run_id, "source": source, "workflow_path": workflow_path, "provider": provider, "now": now}
    parameters = _settled(validated(AutopsyParameters, given))
    options = {
        "cell_timeout_s": cell_timeout_s,
        "total_timeout_s": total_timeout_s,
        "progress": progress,
        "kernels": kernels,
        "setting": Setting(cancelled=cancelled),
    }
    if not store.is_url(artifacts):
        return _autopsy(parameters, Path(artifacts), options)
    return _put(parameters.target_run_id, str(artifacts), lambda folder: _autopsy(parameters, folder, options))


def _autopsy(parameters: AutopsyParameters, artifacts: Path, options: dict[str, Any]) -> AutopsyRecord:
    """Write notebook and report into a folder."""
    notebook, report = (artifact_path(artifacts, _KIND, parameters.target_run_id, suffix) for suffix in (".ipynb", ".html"))
    try:
        executed = execute(resource(_NOTEBOOK), notebook, parameters, meanwhile=_warm_up, **options)
    except NotebookError as error:
        # under a name of its own, so that a report with a verdict stays
        stopped = artifact_path(artifacts, _KIND, f"{parameters.target_run_id}{_STOPPED}", ".html")
        raise _with_report(error, stopped, parameters) from error
    shown = executed.shown(VERDICT_MIMETYPE)
    if shown is None:
        raise NotebookError(f"{notebook} shows no verdict", notebook=notebook, hint="its last cell must display one")
    row = VerdictRow.read(shown)
    _write_report(executed.node, report, parameters, headline_of(row))
    store.discard(artifacts, _KIND, f"{parameters.target_run_id}{_STOPPED}", ".html")
    return AutopsyRecord(row, notebook, report)


def _put(run_id: str, url: str, make: Callable[[Path], AutopsyRecord]) -> AutopsyRecord:
    """Put what is made in a folder at a URL; the folder stays only when that fails."""
    folder = PrivateFolder()

    def sent(file: Path | str | None, name: str = run_id) -> str | None:
        return store.put(url, _KIND, name, Path(file).suffix, Path(file).read_bytes()) if file is not None else None

    try:
        try:
            record = make(folder.path)
            made = AutopsyRecord(record.verdict, str(sent(record.notebook)), str(sent(record.report)))
        except NotebookError as error:
            notebook, report = sent(error.notebook), sent(error.report, f"{run_id}{_STOPPED}")
            paths = " and ".join(filter(None, (report, notebook)))
            hint = f"as far as it got: {paths}" if paths else error.hint
            raise NotebookError(str(error), notebook=notebook, report=report, stop=error.stop, unsaved=error.unsaved, hint=hint) from error
    except (ArtifactsNotWritten, ReportError) as error:
        raise ArtifactsNotWritten(str(error), kept=folder.keep(), hint=f"what was made is in {folder.path}") from error
    except BaseException:
        folder.remove()
        raise
    folder.remove()
    return made


def _settled(parameters: AutopsyParameters) -> AutopsyParameters:
    """Find the run before a kernel is started for it, and say exactly which run, store and moment it is about."""
    source = open_source(parameters.source)
    try:
        snapshot = Snapshot(source, parameters.target_run_id)
        refuse_unless_failed(snapshot, parameters.moment)
        place = Path(snapshot.source.location)
        exact = {
            "target_run_id": snapshot.run_id,
            "source": str(place.absolute()) if place.exists() else parameters.source and lent(parameters.source),
            "workflow_path": parameters.workflow_path and str(Path(parameters.workflow_path).expanduser().absolute()),
            "now": parameters.moment,
        }
    finally:
        source.close()
    return parameters.model_copy(update=exact)


def _warm_up() -> None:
    """Import what the report needs while the kernel works."""
    from smithers_nb.present.report.report import warm_up

    warm_up()


def _with_report(error: NotebookError, report: Path, parameters: AutopsyParameters) -> NotebookError:
    """Make a report of the notebook as far as it got, and let the error name it."""
    if error.notebook is None:
        return error
    import nbformat

    from smithers_nb.present.html.cards import banner

    try:
        stopped = banner("The autopsy itself stopped before its end", str(error), hint="What it had found until then follows.")
        _write_report(nbformat.read(error.notebook, as_version=4), report, parameters, stopped)
    except (ReportError, OSError):
        return error
    return NotebookError(str(error), notebook=error.notebook, report=report, hint=f"as far as it got: {report} and {error.notebook}")


def _write_report(node: Any, path: Path, parameters: AutopsyParameters, lead: Card) -> None:
    from smithers_nb.present.report.report import write_report

    write_report(node, path, title=f"Autopsy of {parameters.target_run_id}", lead=lead)
