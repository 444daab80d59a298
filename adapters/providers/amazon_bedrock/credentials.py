"""Short-lived AWS credentials of a role, or of the machine that the worker runs on.

Used by `provider.py`; `credentials/cache.py` keeps what is fetched here. AWS's own client
knows where a machine keeps its credentials: environment, files, web identity, container, instance.
"""

import asyncio
import hashlib
import re
from typing import TYPE_CHECKING

from modelplane.adapters.providers.amazon_bedrock.errors import build_reported_error
from modelplane.adapters.providers.amazon_bedrock.signing import AwsKey
from modelplane.adapters.providers.canonical.json_values import as_object, as_text
from modelplane.adapters.providers.credentials.cache import Credential
from modelplane.adapters.providers.errors import (
    AdapterError,
    ConfigRefused,
    CredentialRefused,
    ProviderUnavailable,
    RateLimited,
)
from modelplane.adapters.providers.http.transport import HttpTransport
from modelplane.adapters.providers.types import JsonObject, as_count

if TYPE_CHECKING:
    import aioboto3

_ROLE = re.compile(r"arn:aws[a-z-]*:iam::\d{12}:role/\S+")
_INSTANCE_PROFILE = re.compile(r"arn:aws[a-z-]*:iam::\d{12}:instance-profile/\S+")
_SESSION_NAME = "modelplane"
_CONNECT_SECONDS = 5
_READ_SECONDS = 10
_ATTEMPTS = 2
# A machine offers new credentials five minutes before its old ones expire.
_MACHINE_SECONDS = 240.0
_FIRST_SERVER_ERROR = 500


class RoleCredentials:
    """Assumes a role, or takes the credentials of the machine's instance profile."""

    __slots__ = ("_arn", "_base", "_provider", "_region", "key")

    def __init__(self, provider: str, arn: str, region: str, base: AwsKey | None) -> None:
        """Check the ARN.

        Args:
            provider: Name that errors carry.
            arn: ARN of a role or of an instance profile.
            region: AWS region whose token service is asked.
            base: Key that may assume the role; None: the machine's own credentials do.

        Raises:
            ConfigRefused: The ARN names something else.
        """
        if not (_ROLE.fullmatch(arn) or _INSTANCE_PROFILE.fullmatch(arn)):
            raise ConfigRefused(
                "instance_profile_arn must be the ARN of an IAM role or of an instance profile"
            )
        if base and not _ROLE.fullmatch(arn):
            raise ConfigRefused(
                "give either an instance profile's ARN or a key pair: only a role can be assumed "
                "with a key pair"
            )
        self._provider = provider
        self._arn = arn
        self._region = region
        self._base = base
        secret = f"{base.access_key_id}\n{base.secret_access_key}" if base else ""
        digest = hashlib.sha256(f"{arn}\n{region}\n{secret}".encode()).hexdigest()
        self.key = f"aws:{digest}"

    async def fetch(self, transport: HttpTransport, now: float) -> Credential:
        """Return key id, secret key and session token; see `CredentialSource`."""
        del transport
        # AWS's client takes a second to import and reads its models from disk whenever it is
        # built: in a thread, with a loop of its own, that holds up no request.
        return await asyncio.to_thread(lambda: asyncio.run(self._fetch(now)))

    async def _fetch(self, now: float) -> Credential:
        import aioboto3  # noqa: PLC0415 - a second that most workers never need to spend
        from botocore.exceptions import (  # noqa: PLC0415
            BotoCoreError,
            ClientError,
            NoCredentialsError,
        )
        from botocore.parsers import ResponseParserError  # noqa: PLC0415

        try:
            session = aioboto3.Session(**self._base_arguments())
            if _ROLE.fullmatch(self._arn):
                return await self._assume_role(session)
            return await self._read_machine(session, now)
        except ClientError as error:
            raise self._refused(error.response) from None
        except NoCredentialsError:
            raise self._missing() from None
        except (BotoCoreError, ResponseParserError, OSError, TimeoutError) as error:
            raise ProviderUnavailable(
                self._provider, f"AWS credentials cannot be fetched: {type(error).__name__}"
            ) from None

    def _base_arguments(self) -> dict[str, str]:
        if self._base is None:
            return {}
        values = {
            "aws_access_key_id": self._base.access_key_id,
            "aws_secret_access_key": self._base.secret_access_key,
            "aws_session_token": self._base.session_token,
        }
        return {name: value for name, value in values.items() if value}

    async def _assume_role(self, session: "aioboto3.Session") -> Credential:
        from botocore.config import Config  # noqa: PLC0415 - comes with aioboto3

        config = Config(
            connect_timeout=_CONNECT_SECONDS,
            read_timeout=_READ_SECONDS,
            retries={"total_max_attempts": _ATTEMPTS},
        )
        async with session.client("sts", region_name=self._region, config=config) as client:
            answer = await client.assume_role(RoleArn=self._arn, RoleSessionName=_SESSION_NAME)
        given = answer["Credentials"]
        values = (given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"])
        return Credential(values, given["Expiration"].timestamp())

    async def _read_machine(self, session: "aioboto3.Session", now: float) -> Credential:
        found = await session.get_credentials()
        if found is None:
            raise self._missing()
        frozen = await found.get_frozen_credentials()
        values = (frozen.access_key, frozen.secret_key, frozen.token or "")
        return Credential(values, now + _MACHINE_SECONDS)

    def _missing(self) -> AdapterError:
        return CredentialRefused(
            self._provider, "the worker's machine has no AWS credentials of its own"
        )

    def _refused(self, response: JsonObject) -> AdapterError:
        detail = as_object(response.get("Error"))
        error = build_reported_error(self._provider, as_text(detail.get("Code")), detail)
        status = as_count(as_object(response.get("ResponseMetadata")).get("HTTPStatusCode")) or 0
        temporary = isinstance(error, RateLimited | ProviderUnavailable)
        if temporary or status >= _FIRST_SERVER_ERROR:
            return error
        # The caller's request has nothing to do with it: any refusal is the role's.
        return CredentialRefused(self._provider, detail)
