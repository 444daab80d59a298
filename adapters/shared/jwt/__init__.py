"""JSON Web Tokens (RFC 7519) as compact JWS (RFC 7515): signed here, verified in both planes.

`keys` knows the algorithms, `tokens` reads and signs, `verifier` decides and remembers.
"""
