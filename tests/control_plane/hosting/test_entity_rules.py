import pytest
from modelserving.v1.endpoint_pb2 import EndpointConfig

from modelplane.control_plane.endpoints.config_input import build_config
from modelplane.control_plane.errors import InvalidParameter
from modelplane.control_plane.hosting.entity_rules import MAX_VARIABLES, check_hosted
from modelplane.control_plane.hosting.workloads import DEFAULT_WORKLOADS
from tests.control_plane.configs import config_input
from tests.control_plane.hosting.worlds import HOSTED


def config(**change: object) -> EndpointConfig:
    return build_config(config_input({**HOSTED, "name": "one", **change}))


def sized(least: int | None, most: int | None, **more: object) -> EndpointConfig:
    return config(min_provisioned_concurrency=least, max_provisioned_concurrency=most, **more)


def provisioned(least: int | None, most: int | None, **more: object) -> EndpointConfig:
    return config(min_provisioned_throughput=least, max_provisioned_throughput=most, **more)


@pytest.mark.parametrize(
    "good",
    [
        config(),
        config(entity_version=3),
        config(entity_version="@champion"),
        config(entity_name="flat name", entity_version="2024-01.rc"),
        config(workload_size="Large", workload_type="CPU_LARGE", scale_to_zero_enabled=False),
        sized(4, 64, scale_to_zero_enabled=False),
        sized(0, 8),
        sized(None, 1024),
        config(environment_vars={"A": "", "_b9": "{{text}} {{secrets/a/b}} more"}),
        config(environment_vars={"A": "{{secrets/scope/key}}"}),
        config(min_provisioned_throughput=0, provisioned_model_units=0),
        provisioned(970, 1940),
        provisioned(None, 970, scale_to_zero_enabled=None),
        config(provisioned_model_units=50, scale_to_zero_enabled=None),
    ],
    ids=str,
)
def test_entities_that_are_taken(good: EndpointConfig) -> None:
    check_hosted(good, DEFAULT_WORKLOADS)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (config(entity_name="a/b"), "entity_name 'a/b' is no name"),
        (config(entity_name=".."), "is no name of a registered model"),
        (config(entity_name="x" * 201), "at most 200 characters"),
        (config(entity_version=None), "entity_version is required"),
        (config(entity_version="../1"), "entity_version '../1' is no version"),
        (config(entity_version="@"), "no alias, such as"),
        (config(scale_to_zero_enabled=None), "scaleToZeroEnabled is undefined"),
        (config(workload_size="Tiny"), r"'Tiny' is unknown; use one of Small \(4 to 4\), Medium"),
        (config(workload_type="GPU_LARGE"), "use one of CPU, CPU_MEDIUM, CPU_LARGE"),
        (sized(4, None), "needs max_provisioned_concurrency beside it"),
        (sized(3, 8), "min_provisioned_concurrency is 3; it must be a multiple of 4"),
        (sized(4, 10), "max_provisioned_concurrency is 10; it must be a multiple of 4"),
        (sized(4, 1028), "at most 1024"),
        (sized(-4, 8), "min_provisioned_concurrency is -4"),
        (sized(8, 4), "is 8, more than max_provisioned_concurrency, which is 4"),
        (sized(0, 8, scale_to_zero_enabled=False), "needs scale_to_zero_enabled"),
        (config(min_provisioned_throughput=970), "needs max_provisioned_throughput beside it"),
        (provisioned(970, -970), "max_provisioned_throughput is -970; it must not be below 0"),
        (provisioned(970, 960), "is 970, more than max_provisioned_throughput, which is 960"),
        (provisioned(0, 970, workload_size="Small"), "leave out workload_size"),
        (provisioned(0, 970, max_provisioned_concurrency=4), "leave out max_provisioned_concurr"),
        (provisioned(0, 970, provisioned_model_units=50), "exclude each other"),
        (config(provisioned_model_units=-1), "is -1; it must be from 1 to 12800"),
        (config(provisioned_model_units=12_801), "is 12801; it must be from 1 to 12800"),
        (config(burst_scaling_enabled=True), "burst_scaling_enabled is for a throughput in provi"),
        (provisioned(0, 970, burst_scaling_enabled=True), "or raise max_provisioned_throughput"),
        (config(instance_profile_arn="arn:aws:x"), "instance profiles are not available"),
        (config(environment_vars={"a b": "1"}), "'a b' is no name that a variable may have"),
        (config(environment_vars={"MODELPLANE_REPLICA_TOKEN": "1"}), "another word than MODELPL"),
        (config(environment_vars={"A": "a\0"}), "holds a NUL character"),
        (config(environment_vars={"A": "{{secrets/only-a-scope}}"}), "and is none; write"),
        (
            config(environment_vars={f"V{n}": "" for n in range(MAX_VARIABLES + 1)}),
            "has 31 variables; at most 30",
        ),
    ],
)
def test_entities_that_break_a_rule(bad: EndpointConfig, message: str) -> None:
    with pytest.raises(InvalidParameter, match=f"Served entity 'one': .*{message}"):
        check_hosted(bad, DEFAULT_WORKLOADS)
