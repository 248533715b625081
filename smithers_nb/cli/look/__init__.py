"""Commands that read: runs, nodes, events, logs, failures, why."""
