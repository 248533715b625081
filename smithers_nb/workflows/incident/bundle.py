"""The escalation bundle: everything another person needs about an incident, in one file that may leave the machine.

The five items required by the runbook come first. All text is redacted; binary files, which cannot be redacted, and files that are too
large are listed by hash, and remain in the private copy in the incident's folder. The same evidence gives the same bytes: no clock, no
owners, sorted names. The bundle is written atomically and can be verified on its own.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from smithers_nb.artifacts import safe_name
from smithers_nb.model.finding import Finding
from smithers_nb.redact import redact, redact_value
from smithers_nb.workflows.bundle import as_json, file_bundle, packed, sha256
from smithers_nb.workflows.incident.archive import read_archive
from smithers_nb.workflows.incident.narrative import escalation_report, timeline

if TYPE_CHECKING:
    from smithers_nb.sources.rundir.directory import Entry, RunDirectory
    from smithers_nb.workflows.incident.archive import Archive, ArchivedFile
    from smithers_nb.workflows.incident.casefile import CaseFile
    from smithers_nb.workflows.incident.results import Classification

REPORT: Final = "report.md"
_STEP: Final = "escalate"
_TEXT_BUDGET: Final = 1_500_000
"""Bytes of the run's files that are included in full; redaction handles two to three million per second."""
_MAX_WHOLE: Final = 400_000
_EXCERPT_SIZE: Final = 20_000
_PROBE_SIZE: Final = 8_192


class BundledFile(Finding):
    """One file of the run and how much of it the bundle contains.

    Attributes:
        path: Path in the run.
        size: Original size in bytes.
        sha256: Hash of the original content, before redaction.
        mtime_ns: Modification time, nanoseconds since the epoch.
        role: Its name in the profile; empty for any other file.
        captured: `whole`, `excerpt` (beginning and end), `hash` (binary or too large), `link` or `other`.
        redacted: Whether something in it was replaced.
        because: Why it is not included in full.
    """

    path: str
    size: int
    sha256: str
    mtime_ns: int
    role: str = ""
    captured: str = "whole"
    redacted: bool = False
    because: str = ""


class Bundle(Finding):
    """An escalation bundle that was written and verified.

    Attributes:
        summary: What was filed, and where.
        file: Path or URL of the bundle.
        sha256: Hash of the bundle.
        taken: `before`, the files come from the copy taken before anything was run; `now`, there was no such copy.
    """

    summary: str
    file: str
    sha256: str
    size: int
    taken: str
    files: tuple[BundledFile, ...]


@dataclass
class _Content:
    """The run's files as they were before anything was run, or as they are now."""

    run: RunDirectory
    archive: Archive | None
    before: Path

    def rows(self) -> Iterator[tuple[BundledFile, str]]:
        if self.archive is not None:
            yield from (_row(item, item.sha256) for item in self.archive.files)
            return
        for entry in self.run.entries:
            yield _row(entry, (self.run.sha256(entry.path) if entry.kind == "file" else "") or "")


def write_bundle(case: CaseFile, found: Classification, *, to: str | Path | None = None, notebook: Path | None = None) -> Bundle:
    """Write the bundle of an incident.

    Args:
        case: The run.
        found: What it was classified as.
        to: Folder or URL for the bundle; defaults to the incident's folder.
        notebook: The executed notebook of the triage.

    Raises:
        ArtifactsNotWritten: The bundle could not be written completely; nothing is left behind.
    """
    archive = read_archive(case.before)
    content = _Content(case.run, archive, case.before)
    members: dict[str, bytes] = {}
    files = []
    budget = _TEXT_BUDGET
    roles = {file.path: name for name, file in case.profile.files.items()}
    with _Reader(content) as reader:
        for row, kind in sorted(content.rows(), key=lambda item: (item[0].path not in roles, item[0].size, item[0].path)):
            kept, data = _captured(replace(row, role=roles.get(row.path, "")), kind, reader, budget)
            if data is not None:
                members[_unique_name(f"run/{_member_name(row.path)}", row.path, members)] = data
                budget -= len(data)
            files.append(kept)
    files.sort(key=lambda item: item.path)
    commands = case.commands()
    members |= {
        REPORT: escalation_report(case, found, files).encode("utf-8", "replace"),
        "classification.json": as_json(found.as_json()),
        "commands.jsonl": b"".join(_line(command.as_json()) for command in commands),
        # not that it was filed before: the same evidence gives the same bytes
        "steps.jsonl": b"".join(_line(step) for step in case.log.steps() if step.get("step") != _STEP),
        "env.json": as_json(_environment(case)),
        "timeline.md": timeline(case, files).encode("utf-8", "replace"),
    }
    if notebook is not None:
        members["triage.ipynb"] = as_json(redact_value(json.loads(notebook.read_bytes()), personal=True))
    taken = "before" if archive else "now"
    about = {"runId": case.run_id, "profile": case.profile.name, "taken": taken, "files": [file.as_json() for file in files]}
    data = packed(REPORT, members, about)
    digest = sha256(data)
    filed = file_bundle("escalation", f"escalation-{safe_name(case.run_id)}-{_stamp(case, files)}", data, to or case.folder)
    case.log.append(_STEP, decision="filed", because=f"{filed} sha256 {digest}")
    return Bundle(
        summary=f"Filed at {filed} ({len(data):,} bytes, sha256 {digest[:12]}…). Check it: smithers-nb verify {filed}",
        file=filed,
        sha256=digest,
        size=len(data),
        taken=taken,
        files=tuple(files),
    )


class _Reader:
    """Reads files of the run, from the copy when there is one."""

    def __init__(self, content: _Content) -> None:
        self._content = content
        self._tar: tarfile.TarFile | None = None
        self._members: dict[str, tarfile.TarInfo] = {}

    def __enter__(self) -> Self:
        if self._content.archive is not None:
            self._tar = tarfile.open(self._content.before, "r:")  # closed in __exit__
            self._members = {member.name: member for member in self._tar}
        return self

    def __exit__(self, *_: object) -> None:
        if self._tar is not None:
            self._tar.close()

    def read(self, path: str, size: int, *, tail: bool = False) -> bytes:
        """Read the beginning or end of a file; empty when it no longer exists."""
        if self._tar is not None:
            stream = self._tar.extractfile(self._members[path]) if path in self._members else None
            if stream is None:
                return b""
            if tail:
                stream.seek(max(0, self._members[path].size - size))
            return stream.read(size)
        try:
            with self._content.run.open(path) as file:
                if tail:
                    file.seek(0, io.SEEK_END)
                    file.seek(max(0, file.tell() - size))
                return file.read(size)
        except OSError:
            return b""


def _row(item: Entry | ArchivedFile, sha256: str) -> tuple[BundledFile, str]:
    because = f"a link to {redact(item.target)}, not followed" if item.kind == "link" else ""
    return BundledFile(path=item.path, size=item.size, sha256=sha256, mtime_ns=item.mtime_ns, because=because), item.kind


def _captured(row: BundledFile, kind: str, reader: _Reader, budget: int) -> tuple[BundledFile, bytes | None]:
    """Decide how much of a file is included, and redact that part."""
    named = redact(row.path)
    row = replace(row, path=named) if named != row.path else row
    if kind != "file":
        return replace(row, captured="link" if kind == "link" else "other"), None
    if not row.sha256:
        return replace(row, captured="hash", because="it could not be read"), None
    whole = row.size <= _MAX_WHOLE and row.size <= budget
    if not whole and budget < 2 * _EXCERPT_SIZE:
        return replace(row, captured="hash", because="the bundle is full; the private copy has it"), None
    data = reader.read(row.path, row.size if whole else _EXCERPT_SIZE)
    if b"\0" in data[:_PROBE_SIZE] or not _is_text(data, whole=whole):
        return replace(row, captured="hash", because="binary, so it cannot be redacted; the private copy has it"), None
    text = data.decode("utf-8", "replace")
    if not whole:
        end = reader.read(row.path, _EXCERPT_SIZE, tail=True).decode("utf-8", "replace")
        # a secret that was cut in half is no longer recognised, so the lines at the cuts are dropped
        text = f"{text.rpartition(chr(10))[0]}\n… [{row.size - 2 * _EXCERPT_SIZE:,} bytes left out] …\n{end.partition(chr(10))[2]}"
    clean = redact(text)
    because = "" if whole else "too long: its beginning and end"
    return replace(row, captured="whole" if whole else "excerpt", redacted=clean != text, because=because), clean.encode()


def _is_text(data: bytes, *, whole: bool) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError as error:
        return not whole and error.start > len(data) - 4  # the cut split a character
    return True


def _environment(case: CaseFile) -> dict[str, Any]:
    """Return the parts of the environment that may be shown: as the last failed command saw it, and as it is here."""
    runner = case.runner()
    failed = next((command.env for command in reversed(case.commands()) if command.failed), None)
    return {"failedCommand": redact_value(failed) if failed is not None else None, "here": runner.shown(runner.environment())}


def _stamp(case: CaseFile, files: list[BundledFile]) -> str:
    """Return a timestamp for the file name: the last command, else the newest file. No clock: equal evidence gets an equal name."""
    last = next((command.at for command in reversed(case.commands()) if command.at), "")
    if last:
        return "".join(filter(str.isdigit, last))[:14]
    return str(max((file.mtime_ns for file in files), default=0) // 1_000_000_000)


def _member_name(path: str) -> str:
    """Return a path that is safe in a tar file others unpack: redacted, and without terminal control sequences."""
    from smithers_nb.present.html.text import visible

    return "/".join(part for part in visible(redact(path)).replace("\n", "\\n").split("/") if part not in {"", ".", ".."})


def _unique_name(name: str, path: str, members: dict[str, bytes]) -> str:
    """Distinguish two paths that become equal when their secrets are redacted."""
    return name if name not in members else f"{name}-{sha256(path.encode('utf-8', 'surrogatepass'))[:8]}"


def _line(value: Any) -> bytes:
    return json.dumps(redact_value(value), sort_keys=True).encode() + b"\n"
