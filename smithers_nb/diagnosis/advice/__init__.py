"""What to tell a person: root cause, suggestion, error summary."""
