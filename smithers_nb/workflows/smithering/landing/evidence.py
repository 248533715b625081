"""What proves that a ticket was done: one folder per run and ticket, every text in it without secrets.

```
smithering/build/<run>/<ticket>/   plan.md  work.json  diff.patch  gates.json  verify.json  review.json  challenge.json  autopsy.md
                                   rbg/<criterion>.log           a command before the work: usually red
                                   test-output/<criterion>.log   the same command on the commit that lands
smithering/build/<run>/_orchestrator/<ticket>/attempt-<n>/capture.json   how each attempt ended
```

A folder belongs to one run, and what an attempt concluded is removed before the next begins, so a stale verdict satisfies nobody. No
verdict is ever read from here to decide what lands: that is decided by who ran the commands, and written down here.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, Final

from smithers_nb.artifacts import safe_name, write_whole
from smithers_nb.redact import redact, redact_value

PLAN: Final = "plan.md"
WORK: Final = "work.json"
"""What the worker says about its work: summary, claims, known issues, decisions. Nothing here proves anything."""

DIFF: Final = "diff.patch"
GATES: Final = "gates.json"
VERIFY: Final = "verify.json"
REVIEW: Final = "review.json"
CHALLENGE: Final = "challenge.json"
AUTOPSY: Final = "autopsy.md"
_CONCLUSIONS: Final = (WORK, DIFF, GATES, VERIFY, REVIEW, CHALLENGE)


def build_folder(artifacts: Path, run_id: str) -> Path:
    """Return the folder of one build."""
    return artifacts / "smithering" / "build" / safe_name(run_id)


class Evidence:
    """The folder of one ticket in one run.

    Attributes:
        folder: Where it is.
        ticket_id: The ticket.
    """

    def __init__(self, build: Path, ticket_id: str) -> None:
        self.ticket_id = ticket_id
        self.folder = build / ticket_id
        self._captures = build / "_orchestrator" / ticket_id

    def write(self, name: str, content: Any) -> None:
        """Write a text, or a JSON value, without the secrets in it."""
        text = redact(content) if isinstance(content, str) else f"{json.dumps(redact_value(content), indent=2, ensure_ascii=False)}\n"
        write_whole(self.folder / name, text.encode("utf-8", "replace"), lasting=name == VERIFY)

    def read(self, name: str) -> Any:
        """Return a JSON value that was written; None when it is not there or is not valid JSON."""
        return _json(self.folder / name)

    def red_log(self, criterion_id: str) -> Path:
        """Return the file for a command's output before the work."""
        return self.folder / "rbg" / f"{safe_name(criterion_id)}.log"

    def green_log(self, criterion_id: str) -> Path:
        """Return the file for a command's output on the commit that is to land."""
        return self.folder / "test-output" / f"{safe_name(criterion_id)}.log"

    def forget_conclusions(self) -> None:
        """Remove what an earlier attempt concluded; the plan and the runs before the work stay."""
        for name in _CONCLUSIONS:
            (self.folder / name).unlink(missing_ok=True)
        shutil.rmtree(self.folder / "test-output", ignore_errors=True)

    def capture(self, number: int, outcome: dict[str, Any]) -> None:
        """Keep how an attempt ended, with what was concluded in it."""
        told = {name.partition(".")[0]: self.read(name) for name in (VERIFY, REVIEW, CHALLENGE)}
        folder = self._captures / f"attempt-{number}"
        value = redact_value({**told, "missing": missing(self.folder), **outcome})
        write_whole(folder / "capture.json", f"{json.dumps(value, indent=2, ensure_ascii=False)}\n".encode("utf-8", "replace"))

    def captures(self) -> list[dict[str, Any]]:
        """Return how the attempts of this run ended, the first one first."""
        numbered = sorted(self._captures.glob("attempt-*/capture.json"), key=lambda path: int(path.parent.name.rpartition("-")[2]))
        return [value for path in numbered if isinstance(value := _json(path), dict)]


def missing(folder: Path, *, safety: bool = False) -> list[str]:
    """Return what a ticket's folder lacks to prove that it was done, in words; empty when nothing is missing.

    Args:
        folder: The ticket's folder of one run.
        safety: An approved challenge is needed as well.
    """
    found = [name for name in (PLAN, DIFF) if not _is_real(folder / name)]
    gates = _json(folder / GATES)
    if not isinstance(gates, list) or not gates:
        found.append(f"{GATES} with at least one gate")
    for gate in gates if isinstance(gates, list) else []:
        for side in ("redRunPath", "greenRunPath"):
            name = str(gate.get(side) or "") if isinstance(gate, dict) else ""
            path = (folder / name).resolve()
            if not name or not path.is_relative_to(folder.resolve()) or not _is_real(path):
                found.append(f"{side} of {gate.get('criterionId') if isinstance(gate, dict) else gate}")
    if (_json(folder / VERIFY) or {}).get("pass") is not True:
        found.append(f"{VERIFY} that passed")
    if safety and (_json(folder / CHALLENGE) or {}).get("approved") is not True:
        found.append(f"{CHALLENGE} that was approved")
    return found


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None


def _is_real(path: Path) -> bool:
    return path.is_file() and path.stat().st_size > 0
