"""Which failure of the runbook a run has: from output and files to a signature, a cause, and whether to escalate."""
