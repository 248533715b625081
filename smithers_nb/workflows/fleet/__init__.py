"""The fleet: how every run of several projects is doing, which failures recur, and what to do first; read-only.

Stages: sweep → report → artifact → output. `sweep` reads each table of a store once.
"""
