"""A strict AWS Secrets Manager for tests."""

import base64
from collections.abc import Mapping

from tests.emulators.amazon_json import AmazonJsonEmulator, Fields, refusal
from tests.emulators.emulator import Json

_PAGE = 2


class SecretsManagerEmulator(AmazonJsonEmulator):
    """The service.

    Attributes:
        secrets: Values by name, as text or bytes; None: marked for deletion.
    """

    service = "secretsmanager"
    target = "secretsmanager"
    fields: Mapping[str, Fields] = {
        "GetSecretValue": (frozenset({"SecretId"}), frozenset({"VersionId", "VersionStage"})),
        "ListSecrets": (
            frozenset(),
            frozenset({"Filters", "MaxResults", "NextToken", "SortOrder"}),
        ),
    }

    def __init__(self, port: int = 0) -> None:
        super().__init__(port)
        self.secrets: dict[str, str | bytes | None] = {}

    def operate(self, operation: str, body: Json) -> Json:
        return self._get(body) if operation == "GetSecretValue" else self._list(body)

    def _get(self, body: Json) -> Json:
        name = body["SecretId"]
        if name not in self.secrets:
            raise refusal("ResourceNotFoundException", "can't find the specified secret.")
        value = self.secrets[name]
        if value is None:
            raise refusal("InvalidRequestException", "it was marked for deletion.")
        held = (
            {"SecretString": value}
            if isinstance(value, str)
            else {"SecretBinary": base64.b64encode(value).decode()}
        )
        return {"Name": name, "VersionId": "1", "VersionStages": ["AWSCURRENT"], **held}

    def _list(self, body: Json) -> Json:
        names = sorted(name for name, value in self.secrets.items() if value is not None)
        for item in body.get("Filters", []):
            if item["Key"] != "name":
                raise refusal("InvalidParameterException")
            # As the real one does, whatever the case of the letters.
            starts = tuple(value.lower() for value in item["Values"])
            names = [name for name in names if name.lower().startswith(starts)]
        start = int(body.get("NextToken", 0))
        answer: Json = {"SecretList": [{"Name": name} for name in names[start : start + _PAGE]]}
        if start + _PAGE < len(names):
            answer["NextToken"] = str(start + _PAGE)
        return answer
