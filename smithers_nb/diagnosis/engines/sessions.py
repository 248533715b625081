"""Commands for a session of an agent CLI: its own command resumes it, and our own command line shows it.

Names and options are those of Claude Code 2 (`claude --resume ID`, which finds the session by the current folder), of Codex
(`codex resume ID`), of Gemini CLI (`gemini --resume ID`) and of OpenCode (`opencode --session ID`).
"""

from __future__ import annotations

import shlex
from typing import Any, Final

from smithers_nb.diagnosis.engines.files import FileCommands

_RESUME: Final = {"Codex": ("codex", "resume"), "Gemini CLI": ("gemini", "--resume"), "OpenCode": ("opencode", "--session")}


class SessionCommands(FileCommands):
    """Commands for one session."""

    program = ("claude",)
    no_path = "SESSION.jsonl"
    config_key = "session"
    continues = "The session continues with everything said in it so far; type what to do next."
    after_a_fix = "resume the session"
    has_workflow = False
    tries_again = "asking again in the resumed session tries it again"

    def resume(self, workflow_path: str | None, run_id: str, *, force: bool = False) -> str:
        """Resume the session with its own CLI, or show a subagent, which cannot be resumed."""
        del workflow_path, force
        session = str(self._facts.get("id") or "")
        if not session or session.startswith("-") or (self._facts.get("subagent") and self._facts.get("cli") != "Codex"):
            return self.inspect(run_id)
        return shlex.join((*_RESUME.get(str(self._facts.get("cli")), ("claude", "--resume")), session))

    def retry_task(self, workflow_path: str | None, run_id: str, node_id: str, iteration: int = 0) -> str:
        """Resume the session, because a single turn cannot be tried again."""
        del node_id, iteration
        return self.resume(workflow_path, run_id)

    def fresh_run(self, workflow_path: str | None, run_input: dict[str, Any] | None) -> str:
        """Resume the session, because what was said in it is its input."""
        del run_input
        return self.resume(workflow_path, self._snapshot.run.run_id)

    def rewind(self, run_id: str, frame: int) -> str:
        """Resume the session, in which its own CLI can go back."""
        del frame
        return self.resume(None, run_id)

    def answer(self, request_id: str, value: str) -> str:
        """Resume the session, in which the question can be answered."""
        del request_id, value
        return self.resume(None, self._snapshot.run.run_id)

    def _decide(self, verb: str, run_id: str, node_id: str, iteration: int) -> str:
        del verb, node_id, iteration
        return self.resume(None, run_id)
