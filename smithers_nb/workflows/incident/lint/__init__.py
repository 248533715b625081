"""Checks that the steps of a runbook work: replayed from captures, tried on copies, and tried on runs made for the purpose."""
