"""File a report that somebody agreed to send, or keep it: nothing of what a person wrote or decided is lost with a connection."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any, Final

from smithers_nb.artifacts import write_whole
from smithers_nb.errors import BugReportNotSent
from smithers_nb.model.bug_report import BugFiled, BugSaved
from smithers_nb.sources.smithers.journal import FOLDER
from smithers_nb.sources.smithers.migrated import ANCHOR, STORE
from smithers_nb.workflows.bugs.endpoint import TIMEOUT_S, send
from smithers_nb.workflows.bugs.report import written

_REPORTS: Final = "bug-reports"


def file_bug(payload: dict[str, Any], *, endpoint: str, root: Path, timeout_s: float = TIMEOUT_S) -> BugFiled | BugSaved:
    """Send a report, once; when it is not taken, keep it in a private file of the project. Call it only after somebody agreed.

    Args:
        payload: Exactly what was shown.
        endpoint: Where that person agreed to send it.
        root: Folder of the project.
        timeout_s: Seconds for the whole request.
    """
    try:
        return send(written(payload), endpoint, timeout_s=timeout_s)
    except BugReportNotSent as error:
        return BugSaved(reason=str(error), path=_saved(payload, root), endpoint=endpoint)


def project_folder(location: str | None) -> Path:
    """Find the folder of the project that a store belongs to; for a database on a server, or no store, the current one.

    Args:
        location: `Source.location`.
    """
    if location is None or not Path(location).exists():
        return Path()
    here = Path(location).absolute()
    folder = here if here.is_dir() else here.parent
    return folder.parent if folder.name in {ANCHOR, FOLDER} else folder


def reports_folder(root: Path) -> Path:
    """Name the folder that keeps reports: Smithers' own in a project of its, ours elsewhere."""
    theirs = (root / ANCHOR).is_dir() or (root / STORE).is_file()
    return root / (ANCHOR if theirs else FOLDER) / _REPORTS


def _saved(payload: dict[str, Any], root: Path) -> str | None:
    try:
        path = _free_name(reports_folder(root))
        write_whole(path, written(payload, pretty=True) + b"\n", private=True)
    except OSError:
        return None
    return str(path)


def _free_name(folder: Path) -> Path:
    """Name a file after this moment, as Smithers does, and number it when there is one already."""
    stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H-%M-%S-%f")[:-3] + "Z"
    names = (folder / f"{stamp}{f'-{number}' if number else ''}.json" for number in count())
    return next(name for name in names if not name.exists())
