"""Classification by signature: from output and files to a signature, a cause, and whether to escalate."""
