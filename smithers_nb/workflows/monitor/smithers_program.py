"""Finds the Smithers CLI of a project (on PATH, in `node_modules`, or through `bunx`) and opens a run's page with `smithers ui`."""

from __future__ import annotations

import shutil
import subprocess
from contextlib import suppress
from pathlib import Path

from smithers_nb.diagnosis.engines.working_directory import commands_folder
from smithers_nb.errors import SmithersNbError
from smithers_nb.sources.locate import open_source
from smithers_nb.sources.snapshot import Snapshot


def smithers_cli(file: Path) -> list[str] | None:
    """Find the Smithers CLI for a workflow's file.

    Returns:
        The words of the command; None if it is not installed.
    """
    on_path = shutil.which("smithers")
    folders = [folder / "node_modules" / ".bin" for folder in file.absolute().parents]
    local = next((folder / "smithers" for folder in folders if (folder / "smithers").is_file()), None)
    bun = shutil.which("bun") or next((str(folder / "bun") for folder in folders if (folder / "bun").is_file()), None)
    program = on_path or (str(local) if local else None)
    if program:
        return [bun, program] if bun else [program]
    bunx = shutil.which("bunx")
    return [bunx, "smithers-orchestrator"] if bunx else None


def open_page(run_id: str, source: str | None) -> bool:
    """Open the page of a run in the background and return whether the run has one."""
    command: tuple[list[str], Path] | None = None
    with suppress(SmithersNbError, OSError):
        command = command_of(run_id, source)
        if command is not None:
            words, folder = command
            quiet = subprocess.DEVNULL
            subprocess.Popen(words, cwd=folder, stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True)  # noqa: S603  # no shell
    return command is not None


def command_of(run_id: str, source: str | None) -> tuple[list[str], Path] | None:
    """Return the command that opens the page of a run and the folder to run it in; None when its workflow has no page.

    Raises:
        SmithersNbError: The store or the run cannot be read.
    """
    store = open_source(source)
    try:
        snapshot = Snapshot(store, run_id)
        folder, run = commands_folder(snapshot), snapshot.run
        if snapshot.source.kind != "smithers" or folder is None or run.run_id.startswith("-"):
            return None
        root, workflow = Path(folder.path), Path(run.workflow_path or "workflow.tsx")
        page = root / ".smithers" / "ui" / f"{workflow.name.partition('.')[0]}.tsx"
        cli = smithers_cli(root / "workflow.tsx") if page.is_file() else None
        return None if cli is None else ([*cli, "ui", run.run_id], root)
    finally:
        store.close()
