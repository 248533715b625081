"""What the engine recorded wrongly or failed to prevent."""
