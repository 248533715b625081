"""What the engine recorded wrongly or let happen."""
