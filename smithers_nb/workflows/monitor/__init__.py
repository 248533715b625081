"""The monitor: how one run of any engine is doing and, on request, the smallest safe repair.

Stages: gather → diagnose → approve-fix → fix → report → artifact → output. The notebook calls the functions in `stages`; their rows are
in `results`.
"""
