"""Whether the steps of a runbook can work where they are meant to: replayed from captures, tried in copies, and in runs made for it."""
