"""Whose fault a failure is, by the rules in rules/*.toml."""
