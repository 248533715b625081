"""Session logs of agent CLIs as runs: how the work of Claude Code, Codex, Gemini CLI or OpenCode ended, according to its log."""
