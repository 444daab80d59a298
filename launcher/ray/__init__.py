"""Replicas on a Ray cluster: each host is a job, which asks for what its replica needs.

cluster  what should be is made so
plan     which jobs start, and which end
jobs     the job of a host, and what Ray tells of it
host     what runs as the job, on Ray's machines
api      calls of Ray's REST API
"""
