"""Bundles: evidence in one self-verifying tar file, with a manifest of the size and hash of each member.

Incidents and deliveries write the same kind of bundle. The bytes depend only on names and contents: sorted, no clock, no owners. Members
must be redacted already; the file is written atomically.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from smithers_nb.artifacts import write_whole
from smithers_nb.errors import ArtifactsNotWritten, ParameterError
from smithers_nb.model.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Mapping

MANIFEST: Final = "manifest.json"


class Verification(Finding):
    """Whether a bundle matches its manifest.

    Attributes:
        ok: Whether it does; `problems` lists the differences.
    """

    ok: bool
    summary: str
    file: str
    sha256: str
    members: int
    problems: tuple[str, ...] = ()


def packed(first: str, members: Mapping[str, bytes], about: Mapping[str, Any]) -> bytes:
    """Pack members and their manifest into a tar file.

    Args:
        first: Name of the member to put first, for people who open the file: the report.
        members: Content by name.
        about: Further entries of the manifest.
    """
    manifest = {
        "schema": 1,
        **about,
        "members": {name: {"size": len(data), "sha256": sha256(data)} for name, data in sorted(members.items())},
    }
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        add_bytes(tar, first, members[first])
        add_bytes(tar, MANIFEST, as_json(manifest))
        for name, data in sorted(members.items()):
            if name != first:
                add_bytes(tar, name, data)
    return out.getvalue()


def file_bundle(kind: str, name: str, data: bytes, to: str | Path) -> str:
    """Write a bundle into a folder or to a URL, and return its path or URL.

    Args:
        kind: Folder for it under a URL, such as `escalation`.
        name: Its file name without suffix.
        data: The bundle.
        to: The folder or URL.

    Raises:
        ArtifactsNotWritten: It could not be written completely; nothing is left behind.
    """
    from smithers_nb.engine.artifacts import store

    try:
        if store.is_url(to):
            return store.put(to, kind, name, ".tar", data)
        target = Path(to).absolute() / f"{name}.tar"
        write_whole(target, data)
    except OSError as error:
        raise ArtifactsNotWritten(
            f"the bundle could not be written: {error.strerror}", hint="make room, or name another place: --to"
        ) from error
    return str(target)


def verify_bundle(file: Path) -> Verification:
    """Compare a bundle with its manifest, member by member.

    Raises:
        ParameterError: There is no such file.
    """
    if not file.is_file():
        raise ParameterError(f"there is no file {file}", hint="give the bundle that `incident escalate` or `smithering` wrote")
    problems: list[str] = []
    there: dict[str, tuple[int, str]] = {}
    manifest: dict[str, Any] = {}
    try:
        with tarfile.open(file, "r:") as tar:
            for member in tar:
                stream = tar.extractfile(member) if member.isreg() else None
                if stream is None:
                    problems.append(f"{member.name} is not a regular file")
                    continue
                data = stream.read()
                if member.name in there:
                    problems.append(f"{member.name} occurs twice")
                there[member.name] = (len(data), sha256(data))
                if member.name == MANIFEST:
                    manifest = json.loads(data)
    except (OSError, tarfile.TarError, ValueError) as error:
        problems.append(f"it cannot be read: {error}")
    wanted = manifest.get("members") if isinstance(manifest, dict) and isinstance(manifest.get("members"), dict) else None
    if wanted is None:
        problems.append("it has no manifest")
    else:
        listed = {name: (item.get("size"), item.get("sha256")) for name, item in wanted.items() if isinstance(item, dict)}
        found = {name: item for name, item in there.items() if name != MANIFEST}
        problems += [f"{name} does not match the manifest" for name in sorted(listed.keys() & found.keys()) if listed[name] != found[name]]
        problems += [f"{name} is missing" for name in sorted(listed.keys() - found.keys())]
        problems += [f"{name} is not in the manifest" for name in sorted(found.keys() - listed.keys())]
    digest = sha256(file.read_bytes())
    said = f"All {len(there)} members match the manifest." if not problems else f"Do not rely on it: {problems[0]}."
    return Verification(ok=not problems, summary=said, file=str(file), sha256=digest, members=len(there), problems=tuple(problems))


def add_bytes(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    """Add a file whose entry depends only on its name and content."""
    tar.addfile(plain_member(name, len(content)), io.BytesIO(content))


def plain_member(name: str, size: int) -> tarfile.TarInfo:
    """Return a tar entry without times and owners."""
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o600
    return member


def as_json(value: Any) -> bytes:
    """Serialise a JSON value deterministically."""
    return json.dumps(value, indent=1, sort_keys=True).encode()


def sha256(data: bytes) -> str:
    """Return the SHA-256 of bytes as hexadecimal."""
    return hashlib.sha256(data).hexdigest()
