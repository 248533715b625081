"""The failure that mattered, and where it came from."""
