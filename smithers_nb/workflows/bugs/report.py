"""Composes a bug report: the payload of Smithers' own `bug` command, with useful events in place of heartbeats.

Takes a person's text, a run, or both; returns one JSON object without secrets or personal data, of at most `MAX_BYTES`. It is sent exactly
as it is shown; `filing` sends it.
"""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import orjson

from smithers_nb._version import __version__
from smithers_nb.diagnosis.failure.error_chain import clean_message
from smithers_nb.errors import BugReportEmpty, BugReportUnread, RunNotFound, SmithersNbError, SourceError
from smithers_nb.model.timestamps import now_ms
from smithers_nb.redact import short_line
from smithers_nb.sources.stores.json_text import as_object
from smithers_nb.workflows.bugs.events import lifecycle, most_useful, reported
from smithers_nb.workflows.bugs.scrub import scrub_text, settle

if TYPE_CHECKING:
    from smithers_nb.model.rows import RunRow
    from smithers_nb.model.verdict import Link
    from smithers_nb.sources.snapshot import Snapshot
    from smithers_nb.workflows.autopsy.results import Gathered, Investigation

MAX_BYTES: Final = 262_144
"""Maximum size of a payload as JSON; endpoints reject larger ones with 413."""
_MAX_TITLE: Final = 120
_MAX_BODY: Final = 12_000
_MAX_ERROR: Final = 4_000
_MAX_NAME: Final = 300
_MAX_FRAMES: Final = 20
_UNKNOWN: Final = "unknown"
_VERSION: Final = re.compile(r"\d+\.\d+\.\d+[\w.+-]{0,40}")
_PACKAGES: Final = ("smithers-orchestrator", "@smithers-orchestrator/cli")
_MANIFEST_BYTES: Final = 262_144
_BUN_TIMEOUT_S: Final = 2
_ARCHITECTURES: Final = {"x86_64": "x64", "amd64": "x64", "aarch64": "arm64", "i386": "ia32", "i686": "ia32"}
"""Processor names as Bun, and so Smithers, writes them."""


def compose(*, title: str = "", body: str = "", snapshot: Snapshot | None = None, failure: str = "", now: int) -> dict[str, Any]:
    """Compose a report.

    Args:
        title: Its title; defaults to what the run failed on, else the beginning of the body.
        body: Text by a person or an autopsy.
        snapshot: The run that it is about.
        failure: Message of the failure that mattered, for the title; defaults to the run's own error.
        now: When it is created, epoch milliseconds.

    Raises:
        BugReportEmpty: There is neither text nor a run.
        BugReportUnread: The run cannot be read.
    """
    if snapshot is None and not (title.strip() or body.strip()):
        raise BugReportEmpty("there is nothing to report", hint="say what went wrong, or name the run with --run")
    run, notes = (None, []) if snapshot is None else _run_part(snapshot)
    payload: dict[str, Any] = {
        "title": _one_line(title) or _default_title(run, failure) or _one_line(body),
        "body": "\n\n".join(filter(None, (scrub_text(body.strip(), _MAX_BODY), *(scrub_text(note, _MAX_NAME) for note in notes)))),
        "smithersVersion": _engine_version(snapshot),
        "platform": _platform(),
        "createdAtMs": now,
    }
    return settle(payload if run is None else payload | {"run": run})


def report_on(found: Investigation, gathered: Gathered | None = None) -> dict[str, Any]:
    """Compose the report of an autopsy.

    Args:
        found: What it found.
        gathered: The store it read; without it, or when the store is gone, the report has no events of the run.
    """
    title, body = f"{found.workflow or 'run'}: {found.failure.message}", findings(found)
    if gathered is None:
        return compose(title=title, body=body, now=now_ms())
    from smithers_nb.sources.snapshot import Snapshot

    try:
        return compose(title=title, body=body, snapshot=Snapshot(gathered.open(), gathered.target_run_id), now=gathered.now)
    except SmithersNbError as error:
        return compose(title=title, body=f"{body}\n\nEvents are missing: {error}", now=gathered.now)


def findings(found: Investigation) -> str:
    """Return what an autopsy found, with its evidence."""
    kind = found.classification
    lines = [
        found.root_cause,
        "",
        *(f"Not caused by the user: {text}" for text in kind.exonerated),
        f"Classified as {kind.failure_class}, confidence {kind.confidence}, by rule {kind.rule}.",
        f"Store schema {found.smithers_version or 'not known'}.",
        "",
        *(f"[{item.ref}] {item.quote}" for item in found.evidence),
        *(f"\n{_stack(link)}" for link in found.failure.chain if link.stack),
    ]
    return "\n".join(lines)


def _stack(link: Link) -> str:
    frames = link.stack.splitlines()
    more = [f"    … {len(frames) - _MAX_FRAMES:,} more lines"] if len(frames) > _MAX_FRAMES else []
    return "\n".join([*frames[:_MAX_FRAMES], *more])


def written(payload: dict[str, Any], *, pretty: bool = False) -> bytes:
    """Serialise a payload as the JSON that is sent; `pretty` indents it for people."""
    return orjson.dumps(payload, option=orjson.OPT_INDENT_2 if pretty else 0)


def _run_part(snapshot: Snapshot) -> tuple[dict[str, Any], list[str]]:
    """Return the part about the run, and notes on what is attached."""
    try:
        run = snapshot.run
        events = lifecycle(snapshot)
    except (SourceError, RunNotFound) as error:
        raise BugReportUnread(f"run {snapshot.run_id} cannot be read: {error}", hint=error.hint) from error
    chosen = most_useful(events)
    part = {
        "runId": scrub_text(run.run_id, _MAX_NAME),
        "workflowName": scrub_text(run.workflow, _MAX_NAME),
        "workflowPath": scrub_text(run.workflow_path, _MAX_NAME) or None,
        "status": scrub_text(run.status, _MAX_NAME),
        "error": scrub_text(clean_message(run.error_message or ""), _MAX_ERROR) or None,
        "events": [reported(event) for event in chosen],
    }
    unread = [f"Could not be read: {problem.where}: {problem.what}" for problem in snapshot.problems]
    attached = f"Attached: {len(chosen)} of the {len(events)} events of the run's lifecycle, chosen by smithers-nb {__version__}."
    return part, [*unread[:5], attached]


def _default_title(run: dict[str, Any] | None, failure: str) -> str:
    if run is None:
        return ""
    error = _one_line(failure) or _one_line(run["error"] or "")
    return f"Run {run['runId']} failed: {error}" if error else f"Run {run['runId']} ({run['status']})"


def _one_line(text: str) -> str:
    return short_line(scrub_text(text, 4 * _MAX_TITLE), _MAX_TITLE)


def _engine_version(snapshot: Snapshot | None) -> str:
    """Return the Smithers version installed where the run was started, else here; the store records only its schema."""
    run: RunRow | None = None if snapshot is None else snapshot.run
    folders = [Path(run.root)] if run and run.root else []
    for folder in (*folders, Path()):
        for package in _PACKAGES:
            version = _manifest(folder / "node_modules" / package / "package.json").get("version")
            if isinstance(version, str) and _VERSION.fullmatch(version):
                return version
    schema = getattr(snapshot.source, "version", "") if snapshot else ""
    return scrub_text(f"{_UNKNOWN}, store schema {schema}" if schema else _UNKNOWN, _MAX_NAME)


def _manifest(path: Path) -> dict[str, Any]:
    try:
        if not path.is_file():  # the path comes from a store; reading a pipe would never end
            return {}
        with path.open("rb") as file:
            return as_object(file.read(_MANIFEST_BYTES))
    except (OSError, ValueError):
        return {}


def _platform() -> dict[str, str]:
    machine = platform.machine().lower()
    return {"os": sys.platform, "arch": _ARCHITECTURES.get(machine, machine), "bunVersion": _bun_version()}


def _bun_version() -> str:
    bun = shutil.which("bun")
    if bun is None:
        return _UNKNOWN
    try:
        asked = subprocess.run([bun, "--version"], capture_output=True, text=True, timeout=_BUN_TIMEOUT_S, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError):
        return _UNKNOWN
    version = asked.stdout.strip()
    return version if _VERSION.fullmatch(version) else _UNKNOWN
