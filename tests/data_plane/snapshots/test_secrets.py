"""Secrets that come beside the endpoints: what is compiled anew, refused, kept and forgotten."""

from random import Random
from typing import Any

from modelserving.worker.v1 import snapshot_service_pb2 as pb
from modelserving.worker.v1.snapshot_pb2 import EndpointResource, SecretResource

from modelplane.data_plane.snapshots.builder import SnapshotBuilder
from modelplane.data_plane.snapshots.snapshot import Config, Failure, Snapshot
from tests.data_plane.messages import endpoint, endpoint_config, external_entity

RANDOM = Random(1)


def secret(key: str = "k", value: str | None = "sk-1") -> SecretResource:
    return SecretResource(name=f"s/{key}", value=value)


def referring(name: str, key: str = "k") -> EndpointResource:
    entity = external_entity(openai_api_key_plaintext="", openai_api_key=f"{{{{secrets/s/{key}}}}}")
    return endpoint(name, endpoint_config(entity), secret_names=[f"s/{key}"])


def take(base: Snapshot, *endpoints: EndpointResource, **rest: Any) -> SnapshotBuilder:
    builder = SnapshotBuilder(base, RANDOM)
    rest = {"by_reference": True, "revision": base.revision + 1, **rest}
    builder.apply(pb.ConfigDelta(endpoints=endpoints, **rest))
    return builder


def built(builder: SnapshotBuilder) -> Snapshot:
    assert not builder.failures
    return builder.build(1, "store")


def active(snapshot: Snapshot, name: str) -> Config:
    found = snapshot.names[name].active
    assert found is not None
    return found


def values(snapshot: Snapshot) -> dict[str, str]:
    return dict(snapshot.secrets.values)


def started() -> Snapshot:
    """A snapshot of two endpoints with one secret, and one with another."""
    endpoints = [referring("a"), referring("b"), referring("c", "l")]
    return built(take(Snapshot(), *endpoints, secrets=[secret(), secret("l")]))


def test_a_new_value_alone_compiles_anew_what_refers_to_it() -> None:
    first = started()
    second = built(take(first, rotated_secrets=[secret(value="sk-2")]))
    for name in ("a", "b"):
        assert active(second, name) is not active(first, name)
    assert second.names["c"] is first.names["c"]
    assert values(second) == {"s/k": "sk-2", "s/l": "sk-1"}
    assert values(first)["s/k"] == "sk-1"


def test_what_comes_beside_an_endpoint_is_for_that_one() -> None:
    # The others may have changes of their own in the next message.
    first = started()
    second = built(take(first, referring("a"), secrets=[secret(value="sk-2")]))
    assert active(second, "a") is not active(first, "a")
    assert second.names["b"] is first.names["b"]


def test_an_endpoint_in_the_message_is_compiled_once() -> None:
    builder = take(started(), referring("a"), rotated_secrets=[secret(value="")])
    assert sorted(item.endpoint_id for item in builder.failures) == ["id-a", "id-b"]


def test_a_bad_value_is_refused_for_each_revision_until_it_is_mended() -> None:
    first = started()
    bad = take(first, rotated_secrets=[secret(value=None)])
    assert bad.failures == [
        Failure(f"id-{name}", 1, bad.failures[0].reason, serving=True) for name in ("a", "b")
    ]
    assert "openai_api_key" in bad.failures[0].reason
    kept = bad.build(2, "store")
    assert active(kept, "a") is active(first, "a")
    again = take(kept, rotated_secrets=[secret(value=None)])
    assert again.failures == bad.failures
    mended = built(take(again.build(3, "store"), rotated_secrets=[secret()]))
    assert values(mended)["s/k"] == "sk-1"
    assert active(mended, "a") is active(first, "a")


def test_a_secret_is_forgotten_with_the_last_that_refers_to_it() -> None:
    first = started()
    one = built(take(first, removed_endpoint_ids=["id-a"]))
    assert set(values(one)) == {"s/k", "s/l"}
    none = built(take(one, removed_endpoint_ids=["id-b"]))
    assert set(values(none)) == {"s/l"}
    # By another reference, and by a value inside.
    moved = built(take(none, referring("c", "m"), secrets=[secret("m")]))
    assert set(values(moved)) == {"s/m"}
    inside = endpoint("c", endpoint_config(external_entity()))
    assert not values(built(take(moved, inside)))
    # What nobody refers to is not kept at all.
    assert not values(built(take(Snapshot(), rotated_secrets=[secret()])))


def test_endpoints_may_exchange_their_secrets_in_one_message() -> None:
    both = [referring("a", "l"), referring("c", "k"), referring("b", "l")]
    second = built(take(started(), *both, secrets=[secret("l"), secret("k")]))
    assert set(values(second)) == {"s/k", "s/l"}
    assert not take(second, rotated_secrets=[secret("k", "sk-3")]).failures


def test_values_inside_endpoints_are_noted_until_all_comes_anew() -> None:
    inside = endpoint("a", endpoint_config(external_entity()))
    first = built(take(started(), inside, by_reference=False))
    assert first.secrets.inlined
    assert built(take(first, referring("a"), secrets=[secret()])).secrets.inlined
    # Without endpoints a message says nothing of it.
    assert not built(take(started(), by_reference=False)).secrets.inlined
    full = SnapshotBuilder(first, RANDOM, empty=True)
    chunk = pb.SnapshotChunk(endpoints=[referring("a")], secrets=[secret()], by_reference=True)
    full.put_endpoints(full.endpoints_of(chunk))
    assert not built(full).secrets.inlined


def test_nothing_that_is_held_shows_a_value() -> None:
    assert "sk-1" not in repr(started())
    assert "sk-1" not in repr(started().secrets)
