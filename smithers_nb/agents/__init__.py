"""Providers: who else may look at a failure, and what of their answer is believed."""
