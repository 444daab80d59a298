import pytest
from modelserving.v1.external_model_pb2 import ExternalModel
from modelserving.v1.rules_pb2 import provider_rules

from modelplane.adapters.providers.errors import ConfigRefused, ProviderNotImplemented
from modelplane.adapters.providers.registry import FACTORIES, build_adapter
from modelplane.adapters.providers.types import HttpAnswer, Query
from modelplane.adapters.providers.unavailable import UnavailableAdapter


def test_each_provider_of_the_protos_has_a_row() -> None:
    configs = ExternalModel.DESCRIPTOR.oneofs_by_name["provider_config"].fields
    messages = [field.message_type for field in configs if field.message_type is not None]
    declared = {item.GetOptions().Extensions[provider_rules].provider for item in messages}
    assert declared == set(FACTORIES)


def test_a_hosted_model_refuses_queries() -> None:
    adapter = UnavailableAdapter("system.ai.model")
    query = Query({}, stream=False)
    for use in (
        lambda: adapter.plan(query, {}),
        lambda: adapter.parse_answers(query, ()),
        lambda: adapter.stream_parser(query),
    ):
        with pytest.raises(ProviderNotImplemented):
            use()
    error = adapter.parse_error(HttpAnswer(500, {}, b""))
    assert isinstance(error, ProviderNotImplemented)
    assert error.provider == "system.ai.model"


def test_an_unknown_provider_is_refused() -> None:
    with pytest.raises(ConfigRefused, match="'nobody' is unknown"):
        build_adapter(ExternalModel(provider="nobody"))
