"""Session logs of agent CLIs as runs: what the log of Claude Code, Codex or Gemini CLI says about how its work ended."""
