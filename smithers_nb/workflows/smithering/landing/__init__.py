"""What lands is what was verified: git, worktrees, commands, evidence, the merge queue."""
