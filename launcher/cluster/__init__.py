"""Replicas on the machines of a cluster: what all kinds of clusters share.

A cluster starts hosts and replaces them. A host is a launcher of one replica, on a machine of its
own (`../local`), whose control plane is this launcher: it registers here, is told its group, and
says where its replica takes requests. No request passes through either.

launcher  the backend: what should run, and what is told of it
hosts     the line to hosts
merged    what the hosts of a group make together
cluster   what is asked of a cluster
"""
