"""The workflows of a project: those that `init` installs, and any others in `.smithers_nb/workflows`.

A manifest keeps the hash of each installed file, so that an unedited file is updated by a newer version, and an edited one is left alone.
"""

from __future__ import annotations

import hashlib
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeAlias

import orjson

from smithers_nb.artifacts import write_whole
from smithers_nb.errors import ParameterError
from smithers_nb.resources import resource

if TYPE_CHECKING:
    from smithers_nb.engine.location import Location

_PACK: Final = "templates/pack/pack.toml"
_MANIFEST: Final = ".installed.json"
_IGNORED: Final = "# written by smithers-nb; commit the workflows if you like\n*.db\n*.db-*\nruns/\nlogs/\n*.log\n"

Done: TypeAlias = Literal["installed", "renewed", "replaced", "unchanged", "kept"]


class Packed(NamedTuple):
    """A workflow of the pack.

    Attributes:
        file: Its notebook in this installation.
        system: Whether listings omit it.
    """

    id: str
    file: str
    system: bool = False


class Installed(NamedTuple):
    """What was done with one file.

    Attributes:
        done: `installed` for a new file; `renewed`, an unedited older version was updated; `replaced`, an edited one, by force;
            `unchanged`; `kept`, because it was edited.
    """

    file: Path
    done: Done


class Workflow(NamedTuple):
    """A workflow that can be run by name.

    Attributes:
        id: Its name, which is the name of its file.
        title: Its title, from the notebook's metadata.
        parameters: Names of its parameters.
        system: Whether it is one of our own.
        file: Its notebook.
    """

    id: str
    title: str
    parameters: list[str]
    system: bool
    file: Path


def pack() -> list[Packed]:
    """Return the workflows that this installation ships."""
    return [Packed(**entry) for entry in tomllib.loads(resource(_PACK).read_text("utf-8"))["workflow"]]


def install(location: Location, *, force: bool = False) -> list[Installed]:
    """Install the shipped workflows into a project; repeating this changes nothing.

    Args:
        location: The project.
        force: Also replace files that were edited.

    Raises:
        OSError: A file could not be written.
    """
    known = _manifest(location)
    done = [_install(location, entry, known, force=force) for entry in pack()]
    manifest = orjson.dumps(known, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS) + b"\n"
    write_whole(location.workflows / _MANIFEST, manifest)
    ignored = location.folder / ".gitignore"
    if not ignored.exists():
        write_whole(ignored, _IGNORED.encode())
        done.append(Installed(ignored, "installed"))
    return done


def installed_workflows(location: Location, *, system: bool = False) -> list[Workflow]:
    """Return the workflows of a project by name; our own only if `system` is set."""
    own = {entry.id for entry in pack() if entry.system}
    files = sorted(location.workflows.glob("*.ipynb")) if location.workflows.is_dir() else []
    found = [_workflow(file, is_system=file.stem in own) for file in files if not file.name.startswith(".")]
    return [workflow for workflow in found if system or not workflow.system]


def workflow_file(location: Location, workflow: str) -> Path:
    """Return the notebook of a workflow by name, including our own, and shipped ones that are not installed.

    Raises:
        ParameterError: There is no workflow of that name.
    """
    known = {entry.id: Path(resource(entry.file)) for entry in pack()}
    known |= {found.id: found.file for found in installed_workflows(location, system=True)}
    if workflow in known:
        return known[workflow]
    hint = f"there are {', '.join(known)}; `smithers-nb up FILE.ipynb` runs any notebook"
    raise ParameterError(f"no workflow {workflow[:80]!r} in {location.workflows}", hint=hint)


def _install(location: Location, entry: Packed, known: dict[str, str], *, force: bool) -> Installed:
    file, content = location.workflows / f"{entry.id}.ipynb", resource(entry.file).read_bytes()
    new, old = _digest(content), _digest(file.read_bytes()) if file.exists() else None
    done: Done = "installed"
    if old is not None:
        done = "unchanged" if old == new else "renewed" if old == known.get(file.name) else "replaced" if force else "kept"
    if done in ("installed", "renewed", "replaced"):
        write_whole(file, content)
    if done != "kept":
        known[file.name] = new
    return Installed(file, done)


def _workflow(file: Path, *, is_system: bool) -> Workflow:
    from smithers_nb.engine.notebook.file import read_notebook

    try:
        found = read_notebook(file)
    except ParameterError as error:
        return Workflow(file.stem, f"cannot be run: {error}", [], is_system, file)
    title = found.settings.get("title")
    hidden = is_system or found.settings.get("hidden") is True
    return Workflow(file.stem, title if isinstance(title, str) else "", list(found.parameters or {}), hidden, file)


def _manifest(location: Location) -> dict[str, str]:
    """Read the hashes of installed files; empty when the manifest cannot be read, so that nothing is overwritten."""
    try:
        found = orjson.loads((location.workflows / _MANIFEST).read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return {}
    return {str(name): str(digest) for name, digest in found.items()} if isinstance(found, dict) else {}


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
