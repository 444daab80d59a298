import pytest
from modelserving.v1.endpoint_pb2 import ServedEntity
from modelserving.v1.external_model_pb2 import ExternalModel, OpenAiConfig

from modelplane.control_plane.endpoints.text_lengths import check_lengths
from modelplane.control_plane.errors import InvalidParameter


def entity(name: str = "gpt", **config: str) -> ServedEntity:
    model = ExternalModel(name=name, openai_config=OpenAiConfig(**config))
    return ServedEntity(external_model=model)


@pytest.mark.parametrize(
    ("field", "most"),
    [
        ("openai_api_base", 2048),
        ("openai_api_key_plaintext", 65_536),
        ("openai_organization", 512),
    ],
)
def test_a_text_has_the_length_that_is_declared_beside_it(field: str, most: int) -> None:
    check_lengths(entity(**{field: "x" * most}))
    told = rf"external_model.openai_config.{field} has {most + 1} characters; at most {most}"
    with pytest.raises(InvalidParameter, match=told):
        check_lengths(entity(**{field: "x" * (most + 1)}))


def test_the_name_of_a_model_is_short() -> None:
    check_lengths(entity("x" * 256))
    with pytest.raises(InvalidParameter, match=r"external_model\.name"):
        check_lengths(entity("x" * 257))


def test_texts_in_lists_and_maps_are_checked_too() -> None:
    with pytest.raises(InvalidParameter, match="environment_vars"):
        check_lengths(ServedEntity(environment_vars={"KEY": "x" * 4097}))
