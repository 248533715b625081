"""What code the tasks of a run changed: from the stored diff, or else from the worktree's git if it is on this machine.

Git runs without locks, hooks or external diff programs and with a limit of five seconds. If neither source knows, the row says why.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from smithers_nb.agents.providers.limited_process import run_bounded
from smithers_nb.diagnosis.engines.base import engine_of
from smithers_nb.model.counts import plural
from smithers_nb.redact import redact
from smithers_nb.sources.stores.json_text import parse
from smithers_nb.workflows.monitor.results import CodeChange

if TYPE_CHECKING:
    from smithers_nb.model.rows import AttemptRow, DiffRow
    from smithers_nb.sources.snapshot import Snapshot

_MAX_EXCERPT: Final = 8_000
_TIMEOUT_S: Final = 5.0
_REVISION: Final = re.compile(r"[0-9a-fA-F]{7,64}")
_GIT: Final = ("git", "--no-pager", "--no-optional-locks", "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null")
_DIFF: Final = ("diff", "--no-ext-diff", "--no-textconv", "--no-color")


def code_changes(snapshot: Snapshot) -> tuple[CodeChange, ...]:
    """Return what code each task changed, or why that is not known; tasks without a stored diff count only if they are agents."""
    stored = [_stored(row) for row in snapshot.diffs]
    known = {(change.node_id, change.iteration) for change in stored}
    return (*stored, *_from_worktrees(snapshot, known))


def _stored(row: DiffRow) -> CodeChange:
    patches: Any = parse(row.patches)
    listed = [patch for patch in patches if isinstance(patch, dict)] if isinstance(patches, list) else []
    files = tuple(redact(str(patch.get("path") or "")) for patch in listed)
    text = "\n".join(str(patch.get("diff") or "") for patch in listed)
    return _change(row.node_id, row.iteration, files, text, "stored")


def _from_worktrees(snapshot: Snapshot, known: set[tuple[str, int]]) -> Iterator[CodeChange]:
    newest: dict[tuple[str, int], AttemptRow] = {}
    for attempt in snapshot.attempts:
        if attempt.kind == "agent" and not attempt.reset:
            newest[attempt.node_id, attempt.iteration] = attempt
    first_in: dict[str, str] = {}
    for key, attempt in newest.items():
        if key in known or attempt.state not in {"finished", "in-progress", "failed"}:
            continue
        folder = attempt.cwd or snapshot.run.root
        if folder and folder in first_in:  # a worktree has only one diff, so it is shown once
            yield CodeChange(node_id=key[0], iteration=key[1], summary=f"shares the worktree of {first_in[folder]}", origin="none")
            continue
        if folder:
            first_in[folder] = attempt.node_id
        yield _from_git(snapshot, attempt, folder)


def _from_git(snapshot: Snapshot, attempt: AttemptRow, folder: str | None) -> CodeChange:
    key = (attempt.node_id, attempt.iteration)

    def unknown(why: str) -> CodeChange:
        return CodeChange(node_id=key[0], iteration=key[1], summary=redact(f"not known: no diff is stored, and {why}"), origin="none")

    if not folder:
        return unknown("the task's working folder is not recorded")
    worktree = Path(folder)
    if not worktree.is_dir():
        command = engine_of(snapshot).line("diff", snapshot.run.run_id, key[0])
        return unknown(f"its folder {folder} is not on this machine; there, `{command}` shows it")
    base = snapshot.run.revision or ""
    words = [*_DIFF, base] if _REVISION.fullmatch(base) else [*_DIFF, "HEAD"]
    text = _git(worktree, words) if attempt.cwd or base else None
    if text is None:
        return unknown(f"git could not compare {folder}")
    names = [name for name in (_git(worktree, [*words, "--name-only"]) or "").splitlines() if name]
    new = [name for name in (_git(worktree, ["ls-files", "--others", "--exclude-standard"]) or "").splitlines() if name]
    return _change(*key, (*names, *new), text, "git")


def _git(folder: Path, words: list[str]) -> str | None:
    env = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    try:
        ended = run_bounded([*_GIT, *words], b"", folder, {**env, "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0"}, _TIMEOUT_S)
    except OSError:
        return None
    return ended.output if ended.code == 0 else None


def _change(node_id: str, iteration: int, files: tuple[str, ...], text: str, origin: str) -> CodeChange:
    lines = redact(text)
    added = sum(line.startswith("+") and not line.startswith("+++") for line in lines.splitlines())
    removed = sum(line.startswith("-") and not line.startswith("---") for line in lines.splitlines())
    summary = f"{plural(len(files), 'file')}, {plural(added, 'line')} added, {removed:,} removed" if files else "no change"
    excerpt = lines if len(lines) <= _MAX_EXCERPT else f"{lines[:_MAX_EXCERPT]}\n… {len(lines) - _MAX_EXCERPT:,} more characters"
    return CodeChange(node_id=node_id, iteration=iteration, summary=summary, files=files, excerpt=excerpt, origin=origin)
