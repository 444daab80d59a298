"""Starts what others wrote with a user of its own, shown no more than what it needs.

orders  what such a process is told
enter   what it runs first: takes away what it must not have
views   what it has to see, though it lies where no other user may go
"""
