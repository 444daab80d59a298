"""A server of HTTP/1.1 for one service, behind Envoy: see `connection.py` and its neighbours."""
