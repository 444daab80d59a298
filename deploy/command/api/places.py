"""Where the deployment is that a command is about, and who calls: flags, variables, files.

Before: `nouns`. The variables and the file are those of the Databricks SDK
(https://docs.databricks.com/dev-tools/auth), so that one profile serves both.
"""

import configparser
import ipaddress
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from modelplane.deploy.command.api.failures import CommandFailed, Status, WrongUsage

DATA_DIR = ".modelplane"
_TOKENS = ("MODELPLANE_TOKEN", "MODELPLANE_ADMIN_TOKEN")
_HOW = (
    "start one with `modelplane up`, or name one: --profile of ~/.databrickscfg, --data-dir of a "
    "local one, MODELPLANE_URL and MODELPLANE_TOKEN, or DATABRICKS_HOST and DATABRICKS_TOKEN"
)


@dataclass(frozen=True, slots=True)
class Place:
    """A deployment, and the credential to call it with.

    Attributes:
        url: Its public URL, without a slash at the end.
        source: Where that was found, for people.
        token: Bearer token; empty: there is none.
        client: Client id and secret of a service principal, where there is no token.
        certificate: File of the certificate that it must present; empty: any that is trusted.
        directory: Data directory, where it runs on this machine.
    """

    url: str
    source: str
    token: str = field(default="", repr=False)
    client: tuple[str, str] = field(default=("", ""), repr=False)
    certificate: str = ""
    directory: Path | None = None

    @property
    def is_local(self) -> bool:
        """Whether it is on this machine, where no proxy is between."""
        host = urlsplit(self.url).hostname or ""
        return host == "localhost" or _is_loopback(host)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What flags say of the deployment; empty: nothing."""

    profile: str = ""
    url: str = ""
    data_dir: str = ""


def find_place(wanted: Wanted, environ: Mapping[str, str]) -> Place:
    """Return the deployment that is meant: by flags, else variables, else files.

    Raises:
        CommandFailed: There is none, or no credential for it.
    """
    place = _checked(_find(wanted, environ))
    if not place.token and not all(place.client):
        raise CommandFailed(
            f"there is no token for {place.url} ({place.source}): set MODELPLANE_TOKEN",
            Status.NOT_ALLOWED,
        )
    return place


def read_state(directory: Path) -> dict[str, Any]:
    """Return what a deployment on this machine tells of itself, empty where none runs."""
    try:
        state = json.loads((directory / "up.json").read_text())
    except (OSError, ValueError):
        return {}
    return state if isinstance(state, dict) else {}


def _find(wanted: Wanted, environ: Mapping[str, str]) -> Place:
    found = _by_name(wanted, environ) or _by_sdk(environ) or _by_files(environ)
    if found is None:
        raise CommandFailed(f"there is no deployment here: {_HOW}", Status.USAGE)
    return found


def _by_name(wanted: Wanted, environ: Mapping[str, str]) -> Place | None:
    if wanted.profile:
        return _of_profile(wanted.profile, environ)
    if wanted.url:
        return _of_url(Place(wanted.url, "--url"), wanted, environ)
    if wanted.data_dir:
        return _of_directory(Path(wanted.data_dir), environ)
    if url := environ.get("MODELPLANE_URL", ""):
        return _of_url(Place(url, "MODELPLANE_URL"), wanted, environ)
    if named := environ.get("MODELPLANE_DATA_DIR", ""):
        return _of_directory(Path(named), environ)
    return None


def _by_sdk(environ: Mapping[str, str]) -> Place | None:
    if host := environ.get("DATABRICKS_HOST", ""):
        return _signed(Place(_with_scheme(host), "DATABRICKS_HOST"), environ)
    if profile := environ.get("DATABRICKS_CONFIG_PROFILE", ""):
        return _of_profile(profile, environ)
    return None


def _by_files(environ: Mapping[str, str]) -> Place | None:
    # Before a profile that nobody named, which may be a workspace of the mirrored product.
    if (Path(DATA_DIR) / "up.json").exists():
        return _of_directory(Path(DATA_DIR), environ)
    if _profiles(environ).defaults().get("host"):
        return _of_profile("DEFAULT", environ)
    return None


def _of_url(place: Place, wanted: Wanted, environ: Mapping[str, str]) -> Place:
    place = _checked(place)
    if token := _own_token(environ):
        return replace(place, token=token)
    directory = Path(wanted.data_dir or environ.get("MODELPLANE_DATA_DIR", "") or DATA_DIR)
    state = read_state(directory)
    if state.get("url") == place.url:
        found = _of_directory(directory, environ)
        return replace(found, url=place.url, source=place.source)
    # The administrator's token of this machine is for no other; of what runs here without `up`,
    # the directory tells nothing else.
    return replace(place, token=_read(directory / "admin-token")) if place.is_local else place


def _of_directory(directory: Path, environ: Mapping[str, str]) -> Place:
    state = read_state(directory)
    if "url" not in state:
        raise CommandFailed(
            f"no deployment runs in {directory}: start it with `modelplane up --data-dir "
            f"{directory}`",
            Status.NO_ANSWER,
        )
    return Place(
        str(state["url"]),
        str(directory / "up.json"),
        _own_token(environ) or _read(directory / "admin-token"),
        certificate=str(state.get("certificate", "")),
        directory=directory,
    )


def _of_profile(name: str, environ: Mapping[str, str]) -> Place:
    parser = _profiles(environ)
    file = _profiles_file(environ)
    if name != parser.default_section and not parser.has_section(name):
        known = ", ".join(parser.sections()) or "none"
        raise WrongUsage(f"{file} has no profile {name}; it has: {known}")
    values = parser[name]
    source = f"profile {name} of {file}"
    if not (host := values.get("host", "")):
        raise WrongUsage(f"{source} has no `host`; add the URL of the deployment")
    client = (values.get("client_id", ""), values.get("client_secret", ""))
    return Place(_with_scheme(host), source, values.get("token", ""), client)


def _signed(place: Place, environ: Mapping[str, str]) -> Place:
    client = (environ.get("DATABRICKS_CLIENT_ID", ""), environ.get("DATABRICKS_CLIENT_SECRET", ""))
    token = environ.get("DATABRICKS_TOKEN", "") or environ.get("MODELPLANE_TOKEN", "")
    return replace(place, token=token, client=client)


def _profiles(environ: Mapping[str, str]) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None)
    file = _profiles_file(environ)
    try:
        parser.read(file)
    except (configparser.Error, UnicodeDecodeError) as error:
        raise WrongUsage(f"cannot read {file}: {str(error).splitlines()[0]}") from None
    return parser


def _profiles_file(environ: Mapping[str, str]) -> Path:
    return Path(environ.get("DATABRICKS_CONFIG_FILE") or "~/.databrickscfg").expanduser()


def _own_token(environ: Mapping[str, str]) -> str:
    return next((environ[name] for name in _TOKENS if environ.get(name)), "")


def _read(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError:
        return ""


def _with_scheme(host: str) -> str:
    # As the SDK takes it.
    return host if "://" in host else f"https://{host}"


def _checked(place: Place) -> Place:
    try:
        parts = urlsplit(place.url)
        is_url = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        is_url = False
    if not is_url:
        raise WrongUsage(f"{place.url} ({place.source}) is no http or https URL")
    if not (place.token.isascii() and place.token.isprintable()):
        raise WrongUsage(f"the token for {place.url} ({place.source}) cannot be in a header")
    return replace(place, url=place.url.rstrip("/"))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
