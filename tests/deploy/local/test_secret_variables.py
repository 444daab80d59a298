import json

from modelplane.deploy.local.secret_variables import for_control_plane

STORES = json.dumps(
    {
        "env": {"backend": "ENVIRONMENT", "prefix": "TEAM_"},
        "files": {"backend": "FILES", "directory": "/run/secrets"},
    }
)


def test_keys_and_what_stores_read_are_kept_from_the_other_processes() -> None:
    environ = {
        "PATH": "/bin",
        "MODELPLANE_LOG_LEVEL": "info",
        "MODELPLANE_MASTER_KEY": "k",
        "MODELPLANE_MASTER_KEY_KMS": "arn",
        "MODELPLANE_DATABASE_URL": "url",
        "MODELPLANE_SECRET_STORES": STORES,
        "MODELPLANE_OIDC_ISSUERS": '[{"client_secret_env": "SIGN_IN"}]',
        "SIGN_IN": "secret",
        "TEAM_KEY": "sk",
        "TEA": "no secret",
    }
    rest = environ.keys() - for_control_plane(environ)
    assert rest == {"PATH", "MODELPLANE_LOG_LEVEL", "MODELPLANE_OIDC_ISSUERS", "TEA"}


def test_without_stores_everything_else_is_passed_on() -> None:
    assert for_control_plane({"PATH": "/bin", "MODELPLANE_SECRET_STORES": "{"}) == {
        "MODELPLANE_SECRET_STORES"
    }
