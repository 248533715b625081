"""`codex_exec`: any agent CLI, asked once: one JSON document on its standard input, one JSON answer on its standard output.

The command is a list of arguments, never a shell's line. It runs in an empty folder of its own and in a process group of its own, which is
ended with everything it started when the time is up, when it writes too much, and when it is done.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pydantic import ValidationError

from smithers_nb.agents.providers.base import Dossier, Proposal, answer_schema
from smithers_nb.agents.providers.limited_process import Ended, run_bounded
from smithers_nb.agents.providers.prompts import instructions
from smithers_nb.errors import ProviderError
from smithers_nb.private_folder import PrivateFolder
from smithers_nb.redact import redact

if TYPE_CHECKING:
    from smithers_nb.agents.providers.settings import CommandSettings
    from smithers_nb.agents.verification.evidence_index import Record

_FAILED: Final = "failed to return valid structured JSON"
_MAX_TRIES: Final = 2_000
_HINT: Final = "unset AGENT_MODEL, increase AGENT_TIMEOUT_SECONDS, or verify CODING_AGENT_CMD"


class CodexExec:
    """An agent CLI as a provider."""

    name = "codex_exec"

    def __init__(self, settings: CommandSettings) -> None:
        self._settings = settings
        self.author = f"codex_exec ({Path(settings.words[0]).name})"

    def propose(self, dossier: Dossier, record: Record) -> Proposal:
        """Ask the CLI; it sees the dossier and nothing else of us.

        Raises:
            ProviderError: It cannot be started, failed, took too long, wrote too much, or its answer is not of the agreed form.
        """
        del record  # what is not in the dossier, it cannot ask for
        with PrivateFolder() as scratch:
            folder = scratch / "empty"
            folder.mkdir()
            try:
                ended = run_bounded(self._settings.words, question(dossier), folder, self._settings.environment, self._settings.timeout_s)
            except OSError as error:
                raise ProviderError(f"it could not be started: {error.strerror}", hint=_HINT) from error
        if ended.why:
            raise ProviderError(f"it {ended.why}", hint=_HINT)
        if ended.code != 0:
            raise ProviderError(f"it {_FAILED}: it ended with exit code {ended.code}{_last_words(ended)}", hint=_HINT)
        return answer(ended.output)


def question(dossier: Dossier) -> bytes:
    """Write the document that an agent CLI gets."""
    document = {"instructions": instructions("codex_exec"), "answerSchema": answer_schema(), "dossier": dossier.model_dump(by_alias=True)}
    return json.dumps(document, ensure_ascii=False).encode("utf-8", "replace")


def answer(output: str) -> Proposal:
    """Take the answer out of what a CLI printed: the last JSON object that has its form, whatever was printed around it.

    Raises:
        ProviderError: There is none.
    """
    problem = "no JSON object in its output"
    for value in objects_in(output):
        try:
            return Proposal.model_validate(value)
        except ValidationError as error:
            first = error.errors()[0]
            problem = f"{'.'.join(map(str, first['loc'])) or 'answer'}: {first['msg']}"
    raise ProviderError(f"it {_FAILED}: {redact(problem)[:200]}", hint=_HINT)


def objects_in(output: str) -> Iterator[dict[str, Any]]:
    """Return the outermost JSON objects of a text, the last one first."""
    decoder = json.JSONDecoder()
    found: list[dict[str, Any]] = []
    at = 0
    for _ in range(_MAX_TRIES):
        at = output.find("{", at)
        if at < 0:
            break
        try:
            value, at = decoder.raw_decode(output, at)
            found.append(value)
        except (ValueError, RecursionError):
            at += 1
    yield from reversed(found)


def _last_words(ended: Ended) -> str:
    said = " ".join(redact(ended.errors).split())[-160:]
    return f" ({said})" if said else ""
