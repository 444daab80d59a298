"""A server of HTTP/1.1 for one service, behind Envoy: `connection.py`, `listener.py`, `head.py`."""
