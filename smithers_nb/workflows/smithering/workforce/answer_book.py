"""`scripted`: a workforce whose answers are written beforehand, for tests, the demo and rehearsals of a pipeline.

An answer book is a YAML or JSON file. Nothing in it is executed: the entry of a ticket lists the files to write, append to, edit or remove.

```yaml
families: [north, south, east]
answers:
  prd: {summary: …, requirements: […]}      # one answer, or a list: one per round, the last one repeated
  review@south: {approved: false, …}        # only for this family
tickets:
  add-login:                                # one entry per attempt, the last one repeated
    - files: {src/login.py: "…"}
      append: {README.md: "…"}
      replace: {src/app.py: {old: new}}
      remove: [src/old.py]
      summary: …
      claims: […]
      knownIssues: […]
```
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from smithers_nb.errors import ParameterError, SmitheringError
from smithers_nb.workflows.smithering.workforce.base import WorkDone, WorkOrder, WorkRequest

_KEYS: Final = {"families", "answers", "tickets"}
_CHANGES: Final = ("files", "append", "replace", "remove")


class AnswerBook:
    """A workforce that answers from a file.

    Attributes:
        path: Path of the file.
    """

    name = "scripted"

    def __init__(self, path: Path, content: dict[str, Any]) -> None:
        self.path = path
        self.families: tuple[str, ...] = tuple(str(family) for family in content.get("families") or ["scripted"])
        self._answers: dict[str, Any] = content.get("answers") or {}
        self._tickets: dict[str, list[dict[str, Any]]] = content.get("tickets") or {}

    @classmethod
    def open(cls, path: Path) -> AnswerBook:
        """Read an answer book.

        Raises:
            ParameterError: The file does not exist or is not an answer book.
        """
        import yaml  # type: ignore[import-untyped]  # it ships no types

        try:
            content = yaml.safe_load(path.read_text("utf-8"))
        except OSError as error:
            raise ParameterError(f"book: {path}: {error.strerror}", hint="name the file of an answer book") from None
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise ParameterError(f"book: {path} is not valid YAML: {' '.join(str(error).split())[:200]}") from None
        return cls(path, _check(path, content))

    def answer(self, request: WorkRequest) -> dict[str, Any]:
        """Return the answer written for a stage, its round and its family."""
        kind = request.stage.partition(":")[0]
        names = [f"{request.stage}@{request.family}", request.stage, f"{kind}@{request.family}", kind]
        answer = next((self._answers[name] for name in names if name in self._answers), None)
        if isinstance(answer, list):
            answer = answer[min(request.round, len(answer) - 1)] if answer else None
        if not isinstance(answer, dict):
            fault = "has no answer" if answer is None else "has an answer that is not a mapping"
            raise SmitheringError(f"the answer book {self.path.name} {fault} for {request.stage}", hint=f"write it in {self.path}")
        return answer

    def implement(self, order: WorkOrder) -> WorkDone:
        """Make the changes written for an attempt."""
        attempts = self._tickets.get(order.ticket.id)
        if not attempts:
            raise SmitheringError(
                f"the answer book {self.path.name} has no work for the ticket {order.ticket.id}", hint=f"add it to {self.path}"
            )
        entry = attempts[min(order.attempt, len(attempts)) - 1]
        _apply(entry, order.folder)
        report = {key: value for key, value in entry.items() if key not in _CHANGES}
        return WorkDone.read({"summary": order.ticket.title, **report})


def _check(path: Path, content: Any) -> dict[str, Any]:
    if not isinstance(content, dict) or not set(content) <= _KEYS:
        raise ParameterError(f"book: {path} is not an answer book", hint=f"its keys are {', '.join(sorted(_KEYS))}")
    for name, attempts in (content.get("tickets") or {}).items():
        if not isinstance(attempts, list) or not all(isinstance(entry, dict) for entry in attempts):
            raise ParameterError(f"book: {path}: tickets.{name} is not a list of attempts")
    if not isinstance(content.get("answers") or {}, dict):
        raise ParameterError(f"book: {path}: answers is not a mapping of stages")
    return content


def _apply(entry: dict[str, Any], folder: Path) -> None:
    """Write files as an agent would, to any path the book names, even one it must not touch: the caller guards the worktree."""
    for name, text in (entry.get("files") or {}).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, "utf-8")
    for name, text in (entry.get("append") or {}).items():
        path = folder / name
        path.write_text((path.read_text("utf-8") if path.exists() else "") + text, "utf-8")
    for name, changes in (entry.get("replace") or {}).items():
        path = folder / name
        text = path.read_text("utf-8")
        for old, new in changes.items():
            text = text.replace(old, new)
        path.write_text(text, "utf-8")
    for name in entry.get("remove") or ():
        (folder / name).unlink(missing_ok=True)
