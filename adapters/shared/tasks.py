"""Which task an RPC is for, and which REST path asks for a task: read off the protos.

Both planes and Envoy's configuration take it from here, so that a task which is added there has no
path that one of them knows and another does not.
"""

from collections.abc import Mapping

from google.api import annotations_pb2
from google.protobuf.descriptor import MethodDescriptor
from modelserving.v1 import inference_service_pb2, model_service_pb2, rules_pb2

INFERENCE = inference_service_pb2.DESCRIPTOR.services_by_name["InferenceService"]
MODELS = model_service_pb2.DESCRIPTOR.services_by_name["ModelService"]


def task_of(rpc: MethodDescriptor) -> str:
    """Return the task of the queries that an RPC answers; empty: it is not for one."""
    return str(rpc.GetOptions().Extensions[rules_pb2.task])


def _path(rpc: MethodDescriptor) -> str:
    return str(rpc.GetOptions().Extensions[annotations_pb2.http].post)


# By task: the REST path of its queries whose body names the endpoint.
PATHS: Mapping[str, str] = {task_of(rpc): _path(rpc) for rpc in INFERENCE.methods if task_of(rpc)}
# Tasks that can be asked for with typed messages.
TYPED = frozenset(map(task_of, MODELS.methods))
