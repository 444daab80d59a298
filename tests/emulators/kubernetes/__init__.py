"""A Kubernetes API server, with a controller of deployments and machines that run their pods.

As strict as the published rules: bodies by the OpenAPI schema that Kubernetes publishes, names,
labels and versions by its documentation, rights by the rules of a Role.

rules    what is refused
store    objects, their versions, and who watches them
server   the HTTP API
nodes    the controller and the kubelet
keda     what scales deployments by ScaledObjects
"""
