"""Hosts: what carries calls to the service, and the messages that they carry."""
