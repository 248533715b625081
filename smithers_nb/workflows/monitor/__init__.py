"""The monitor: how one run is doing, whatever its engine, and on request the smallest repair that is safe.

Stages: gather → diagnose → approve-fix → fix → report → artifact → output. `stages` are what the notebook calls; each row is in `results`.
"""
