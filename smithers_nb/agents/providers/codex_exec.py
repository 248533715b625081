"""`codex_exec`: asks any agent CLI once, with one JSON document on its standard input and one JSON answer on its standard output.

The command is a list of arguments and never goes through a shell. It runs in an empty folder and in its own process group. That group, and
everything the CLI started, is ended when time runs out, when it writes too much, and when it finishes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from pydantic import ValidationError

from smithers_nb.agents.providers.base import Dossier, Proposal, Summary
from smithers_nb.agents.providers.limited_process import Ended, run_bounded
from smithers_nb.agents.providers.prompts import instructions
from smithers_nb.errors import ProviderError
from smithers_nb.private_folder import PrivateFolder
from smithers_nb.redact import redact

if TYPE_CHECKING:
    from smithers_nb.agents.providers.settings import CommandSettings
    from smithers_nb.agents.verification.evidence_index import Record

_Answer = TypeVar("_Answer", Proposal, Summary)

_MALFORMED: Final = "failed to return valid structured JSON"
_MAX_OBJECTS: Final = 2_000
_HINT: Final = "unset AGENT_MODEL, increase AGENT_TIMEOUT_SECONDS, or verify CODING_AGENT_CMD"


class CodexExec:
    """The provider that asks an agent CLI."""

    name = "codex_exec"

    def __init__(self, settings: CommandSettings) -> None:
        self._settings = settings
        self.author = f"codex_exec ({Path(settings.words[0]).name})"

    def propose(self, dossier: Dossier, record: Record) -> Proposal:
        """Ask the CLI, which sees the dossier and nothing else from us.

        Raises:
            ProviderError: The CLI could not be started, failed, took too long, wrote too much, or gave a malformed answer.
        """
        del record  # a CLI has no tools of ours to read rows with
        return answer(self._run(_document("investigate", Proposal, dossier=dossier.model_dump(by_alias=True))), Proposal)

    def summarise(self, facts: str) -> str:
        """Ask the CLI to put a recorded failure into plain words.

        Raises:
            ProviderError: As for `propose`.
        """
        return answer(self._run(_document("summarise", Summary, failure=facts)), Summary).summary

    def _run(self, document: bytes) -> str:
        """Return what the CLI prints about a document."""
        with PrivateFolder() as scratch:
            folder = scratch / "empty"
            folder.mkdir()
            try:
                ended = run_bounded(self._settings.words, document, folder, self._settings.environment, self._settings.timeout_s)
            except OSError as error:
                raise ProviderError(f"it could not be started: {error.strerror}", hint=_HINT) from error
        if ended.why:
            raise ProviderError(f"it {ended.why}", hint=_HINT)
        if ended.code != 0:
            raise ProviderError(f"it {_MALFORMED}: it ended with exit code {ended.code}{_last_words(ended)}", hint=_HINT)
        return ended.output


def _document(task: str, expected: type[_Answer], **data: Any) -> bytes:
    """Return the JSON document that an agent CLI reads."""
    document = {"instructions": instructions(task, "codex_exec"), "answerSchema": expected.model_json_schema(by_alias=True), **data}
    return json.dumps(document, ensure_ascii=False).encode("utf-8", "replace")


def answer(output: str, expected: type[_Answer]) -> _Answer:
    """Parse the answer from what a CLI printed: the last JSON object that validates, ignoring the text around it.

    Raises:
        ProviderError: No object in the output is a valid answer.
    """
    problem = "no JSON object in its output"
    for value in objects_in(output):
        try:
            return expected.model_validate(value)
        except ValidationError as error:
            first = error.errors()[0]
            problem = f"{'.'.join(map(str, first['loc'])) or 'answer'}: {first['msg']}"
    raise ProviderError(f"it {_MALFORMED}: {redact(problem)[:200]}", hint=_HINT)


def objects_in(output: str) -> Iterator[dict[str, Any]]:
    """Yield the outermost JSON objects in a text, last one first; of a text with very many, those at its end."""
    found, at = _objects(output)
    if at >= 0:
        found, _ = _objects(output[[brace.start() for brace in re.finditer("{", output)][-_MAX_OBJECTS] :])
    yield from reversed(found)


def _objects(output: str) -> tuple[list[dict[str, Any]], int]:
    """Return the objects from the beginning of a text, and where it was left unread; -1 when it was read to its end."""
    decoder = json.JSONDecoder()
    found: list[dict[str, Any]] = []
    at = output.find("{")
    for _ in range(_MAX_OBJECTS):
        if at < 0:
            break
        try:
            value, at = decoder.raw_decode(output, at)
            found.append(value)
        except (ValueError, RecursionError):
            at += 1
        at = output.find("{", at)
    return found, at


def _last_words(ended: Ended) -> str:
    said = " ".join(redact(ended.errors).split())[-160:]
    return f" ({said})" if said else ""
