"""Incidents of a run: triage, classification, recovery, evidence and what follows, by the profile of its orchestrator."""
