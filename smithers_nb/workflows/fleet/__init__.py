"""The fleet: how every run of several projects is doing, what recurs among them, and what to do first; nothing is changed anywhere.

Stages: sweep → report → artifact → output. `sweep` reads each store once, as a whole.
"""
