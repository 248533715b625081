"""Where the Smithers CLI of a project is: on PATH, in its `node_modules`, or through `bunx`."""

from __future__ import annotations

import shutil
from pathlib import Path


def smithers_cli(file: Path) -> list[str] | None:
    """Find the Smithers CLI for a workflow's file.

    Returns:
        The words that start it; None when there is none.
    """
    on_path = shutil.which("smithers")
    folders = [folder / "node_modules" / ".bin" for folder in file.absolute().parents]
    local = next((folder / "smithers" for folder in folders if (folder / "smithers").is_file()), None)
    bun = shutil.which("bun") or next((str(folder / "bun") for folder in folders if (folder / "bun").is_file()), None)
    found = on_path or (str(local) if local else None)
    if found:
        return [bun, found] if bun else [found]
    bunx = shutil.which("bunx")
    return [bunx, "smithers-orchestrator"] if bunx else None
