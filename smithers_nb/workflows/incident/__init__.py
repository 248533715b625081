"""The incident runbook: triage, classification, recovery, escalation and follow-up, driven by the profile of the orchestrator."""
