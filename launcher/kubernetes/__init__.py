"""Replicas as pods of a Kubernetes cluster: a deployment for each group, whose pods are hosts.

cluster    what should be is made so
manifests  the deployment of a group
problems   what keeps pods from coming up
identity   whose pod a token is
mirror     objects as the API server tells of them
api        calls of the API server
"""
