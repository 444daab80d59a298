"""Which limits a query falls under: compiled from an endpoint's settings, and pure.

Part of the snapshot (`snapshot.py`); `limits/gate.py` asks it once for each endpoint and caller.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from modelserving.worker.v1.snapshot_pb2 import EndpointResource

from modelplane.adapters.shared.limit_keys import LIMIT_KEYS, OLD_LIMIT_KEYS, counter_key
from modelplane.data_plane.snapshots.callers import Principal


class Unit(StrEnum):
    """What a limit counts."""

    REQUESTS = "requests"
    TOKENS = "tokens"


class Scope(StrEnum):
    """Whose use a limit counts; the values are those of a limit's `key`."""

    ENDPOINT = "endpoint"
    USER = "user"
    USER_GROUP = "user_group"
    SERVICE_PRINCIPAL = "service_principal"


if odd := set(Scope) ^ {*LIMIT_KEYS, *OLD_LIMIT_KEYS}:
    # As a limit for everybody, it would only be noticed by those whom it refuses.
    raise RuntimeError(f"limits and protos have different keys: {', '.join(sorted(odd))}")


@dataclass(frozen=True, slots=True)
class Rule:
    """One limit, as it applies to one caller.

    Attributes:
        key: Identifies the counter, in the control plane too; 16 bytes.
        unit: What is counted.
        scope: Whose use is counted.
        limit: How much a window of one minute has.
        principal: Whom the limit names, in small letters; empty: nobody.
    """

    key: bytes
    unit: Unit
    scope: Scope
    limit: int
    principal: str = ""


_Amounts = dict[Unit, int]


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one endpoint.

    Attributes:
        endpoint_id: Identifier of the endpoint.
        ceilings: Limits for all callers together.
        named: Limits of principals, by scope and name, and of groups.
        default: Limits of every caller for whom there is no other.
    """

    endpoint_id: str
    ceilings: Mapping[Unit, int]
    named: Mapping[tuple[Scope, str], Mapping[Unit, int]] = field(default_factory=dict)
    default: Mapping[Unit, int] = field(default_factory=dict)

    def rules(self, principal: Principal) -> tuple[tuple[Rule, ...], ...]:
        """Return what a query of `principal` must satisfy.

        Returns:
            Alternatives, of each of which one must have room: several are the caller's groups. The
            endpoint's ceilings come last, so that who is beyond a limit of their own uses nothing
            of them.
        """
        own = [self._own(principal, unit) for unit in Unit]
        ceilings = [
            (self._rule(unit, Scope.ENDPOINT, "", limit),) for unit, limit in self.ceilings.items()
        ]
        return tuple(rules for rules in (*own, *ceilings) if rules)

    def _own(self, principal: Principal, unit: Unit) -> tuple[Rule, ...]:
        """Return the caller's own limits: by name, else of the groups, else the default."""
        scope = Scope.SERVICE_PRINCIPAL if principal.service_principal else Scope.USER
        named = principal.name.casefold()
        limit = self.named.get((scope, named), {}).get(unit)
        if limit is None and (groups := self._of_groups(principal, unit)):
            return groups
        if limit is None:
            limit, scope, named = self.default.get(unit), Scope.USER, ""
        return () if limit is None else (self._rule(unit, scope, principal.id, limit, named),)

    def _of_groups(self, principal: Principal, unit: Unit) -> tuple[Rule, ...]:
        found = []
        for group_id, name in zip(principal.group_ids, principal.group_names, strict=True):
            named = name.casefold()
            limit = self.named.get((Scope.USER_GROUP, named), {}).get(unit)
            if limit is not None:
                found.append(self._rule(unit, Scope.USER_GROUP, group_id, limit, named))
        return tuple(found)

    def _rule(
        self, unit: Unit, scope: Scope, subject: str, limit: int, principal: str = ""
    ) -> Rule:
        key = counter_key(self.endpoint_id, unit.value, subject)
        return Rule(key, unit, scope, limit, principal)


def compile_limits(resource: EndpointResource) -> Limits | None:
    """Return the limits of an endpoint, None where there are none.

    Of two limits on the same, which only the deprecated ones beside those of the AI Gateway can
    be, the stricter holds.
    """
    ceilings: _Amounts = {}
    default: _Amounts = {}
    named: dict[tuple[Scope, str], _Amounts] = {}
    for old in resource.rate_limits:
        amounts = ceilings if _scope(old.key) is Scope.ENDPOINT else default
        _tighten(amounts, Unit.REQUESTS, int(old.calls))
    for limit in resource.ai_gateway.rate_limits:
        scope = _scope(limit.key)
        if scope is Scope.ENDPOINT:
            amounts = ceilings
        elif limit.principal:
            amounts = named.setdefault((scope, limit.principal.casefold()), {})
        else:
            amounts = default
        if limit.HasField("calls"):
            _tighten(amounts, Unit.REQUESTS, int(limit.calls))
        if limit.HasField("tokens"):
            _tighten(amounts, Unit.TOKENS, int(limit.tokens))
    if not (ceilings or default or named):
        return None
    return Limits(resource.id, ceilings, named, default)


def _scope(key: str) -> Scope:
    # What a newer control plane may know besides is at least not exceeded by all together.
    return Scope(key) if key in set(Scope) else Scope.ENDPOINT


def _tighten(amounts: _Amounts, unit: Unit, limit: int) -> None:
    amounts[unit] = min(limit, amounts.get(unit, limit))
