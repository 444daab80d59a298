from modelplane.adapters.shared.rpc.services import (
    LAUNCHER_SERVICES,
    PUBLIC_SERVICES,
    WORKER_SERVICES,
    has_rest_routes,
    is_management,
    rules_of,
)


def test_the_services_are_those_of_the_protos() -> None:
    assert [service.name for service in PUBLIC_SERVICES] == [
        "AuditService",
        "ChangeService",
        "ClientSecretService",
        "DeploymentService",
        "EndpointService",
        "IdentityService",
        "InferenceService",
        "ModelService",
        "OAuthService",
        "PermissionService",
        "ProtoService",
        "RolloutService",
        "SecretService",
        "SessionService",
        "SignInService",
        "TokenService",
        "TrafficService",
        "UiService",
        "UsageService",
    ]
    assert [service.name for service in WORKER_SERVICES] == [
        "MetricsService",
        "QuotaService",
        "SnapshotService",
        "UsageLedgerService",
    ]
    assert [service.name for service in LAUNCHER_SERVICES] == ["LauncherService"]


def test_what_sets_a_service_apart_is_said_by_its_options() -> None:
    rules = {service.name: rules_of(service) for service in PUBLIC_SERVICES}
    apart = {name for name, item in rules.items() if item.answered_by_workers}
    assert apart == {"InferenceService", "ModelService"}
    strangers = ["OAuthService", "SignInService", "UiService"]
    assert [name for name, item in rules.items() if item.anonymous] == strangers
    assert [name for name, item in rules.items() if item.scim] == ["IdentityService"]
    others = {service.name for service in PUBLIC_SERVICES if not is_management(service)}
    assert others == {*apart, *strangers}


def test_only_the_typed_calls_have_no_rest_form() -> None:
    without = [service.name for service in PUBLIC_SERVICES if not has_rest_routes(service)]
    assert without == ["ModelService"]
