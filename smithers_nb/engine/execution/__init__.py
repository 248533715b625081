"""One execution of one run, from its lease to its outcome."""
