"""`modelplane worker`: one worker as a process of its own, inside Envoy or beside it."""
