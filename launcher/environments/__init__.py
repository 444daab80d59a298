"""Builds the environments that models run in, each once.

cache         the environments of this machine: found, built, shared, dropped
requirements  what a model asks for, read from its directory
pythons       the Pythons of this machine
index         where packages come from, by the operator's settings of pip and uv
build         one build by uv, within bounds
failures      what went wrong, in words
"""
