"""A strict AWS KMS for tests: encrypts under keys of its own, bound to the context given."""

import base64
import binascii
import json
import os
from collections.abc import Mapping

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tests.emulators.amazon_json import REGION, AmazonJsonEmulator, Fields, refusal
from tests.emulators.emulator import Json

ARN = f"arn:aws:kms:{REGION}:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
OTHER_ARN = ARN.replace("1234abcd", "9876fedc")
_MAX_PLAINTEXT = 4096
_COMMON = frozenset({"EncryptionContext", "EncryptionAlgorithm", "GrantTokens"})


class KmsEmulator(AmazonJsonEmulator):
    """The service with two keys."""

    service = "kms"
    target = "TrentService"
    fields: Mapping[str, Fields] = {
        "Encrypt": (frozenset({"KeyId", "Plaintext"}), _COMMON),
        "Decrypt": (frozenset({"CiphertextBlob"}), _COMMON | {"KeyId"}),
    }

    def __init__(self, port: int = 0) -> None:
        super().__init__(port)
        self._keys = {arn: AESGCM(os.urandom(32)) for arn in (ARN, OTHER_ARN)}

    def operate(self, operation: str, body: Json) -> Json:
        if "KeyId" in body and body["KeyId"] not in self._keys:
            raise refusal("NotFoundException")
        context = body.get("EncryptionContext", {})
        if not all(isinstance(value, str) for value in context.values()):
            raise refusal("SerializationException")
        bound = json.dumps(context, sort_keys=True).encode()
        if operation == "Encrypt":
            return self._encrypt(body["KeyId"], _blob(body["Plaintext"]), bound)
        return self._decrypt(body.get("KeyId"), _blob(body["CiphertextBlob"]), bound)

    def _encrypt(self, arn: str, plaintext: bytes, bound: bytes) -> Json:
        if not 1 <= len(plaintext) <= _MAX_PLAINTEXT:
            raise refusal("ValidationException")
        nonce = os.urandom(12)
        sealed = self._keys[arn].encrypt(nonce, plaintext, bound)
        blob = arn.encode() + b"\n" + nonce + sealed
        return {
            "CiphertextBlob": base64.b64encode(blob).decode(),
            "KeyId": arn,
            "EncryptionAlgorithm": "SYMMETRIC_DEFAULT",
        }

    def _decrypt(self, asked: str | None, blob: bytes, bound: bytes) -> Json:
        name, _, sealed = blob.partition(b"\n")
        arn = name.decode(errors="replace")
        if arn not in self._keys:
            raise refusal("InvalidCiphertextException")
        if asked not in (None, arn):
            raise refusal("IncorrectKeyException")
        try:
            plaintext = self._keys[arn].decrypt(sealed[:12], sealed[12:], bound)
        except InvalidTag:
            raise refusal("InvalidCiphertextException") from None
        return {
            "Plaintext": base64.b64encode(plaintext).decode(),
            "KeyId": arn,
            "EncryptionAlgorithm": "SYMMETRIC_DEFAULT",
        }


def _blob(text: object) -> bytes:
    try:
        return base64.b64decode(str(text), validate=True)
    except binascii.Error:
        raise refusal("SerializationException") from None
