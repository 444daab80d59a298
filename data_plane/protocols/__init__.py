"""Native protocols: what clients of other providers' APIs send, and what they read.

Each is a codec at the ends of the one pipeline: it reads a request into the canonical form
(`adapters/providers/types.py`) and writes the canonical answer in its own. `base.py` says what a
codec is; `hosts/native.py` puts it before `invocation.py`.
"""
