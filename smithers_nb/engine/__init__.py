"""How notebooks are executed."""
