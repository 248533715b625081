"""Commands that investigate: autopsies, reports, bug reports, watch."""
