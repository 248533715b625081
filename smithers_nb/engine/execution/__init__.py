"""One execution of a run, from acquiring its lease to recording its outcome."""
