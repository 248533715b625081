"""Real servers, stores and projects that tests use; imported, never collected."""
