"""Guardrails: what is looked for in the texts that go in and come out, and what is done about it.

All of it is pure. `policy.py` compiles the settings of an endpoint, `guard.py` applies them to one
call; between them are the detectors, and `scanner.py`, which finds the same however a text is cut.
"""
