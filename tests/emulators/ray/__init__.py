"""A Ray cluster as its REST API for jobs shows it: what the launcher's backend for Ray talks to.

As strict as Ray 2.60.0; each rule names the file in Ray's package (`ray/…`) that it is of.

rules    what is refused
server   the REST API
cluster  machines, on which supervisors run jobs
"""
