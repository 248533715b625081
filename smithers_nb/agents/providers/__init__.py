"""The providers: what a model or an agent CLI is asked, and how it is called."""
