"""The clients that people use, each unmodified and in an environment of its own.

They cost minutes to install, so that only `make test-long` runs them. What of each goes over the
wire, and what it needs to find in an answer, is tested with the parts that have it.
"""
