"""Session logs of agent CLIs as runs: what the log of Claude Code or Codex says about how its work ended."""
