"""Refusals in the shape of Bedrock: a message in the body, the type in a header."""

from tests.emulators.emulator import Json, Refusal

STATUSES = {
    "ValidationException": 400,
    "ServiceQuotaExceededException": 400,
    "AccessDeniedException": 403,
    "UnrecognizedClientException": 403,
    "InvalidSignatureException": 403,
    "ExpiredTokenException": 403,
    "MissingAuthenticationTokenException": 403,
    "ResourceNotFoundException": 404,
    "ModelTimeoutException": 408,
    "ModelErrorException": 424,
    "ThrottlingException": 429,
    "ModelNotReadyException": 429,
    "InternalServerException": 500,
    "ServiceUnavailableException": 503,
}


def refusal(message: str, kind: str = "ValidationException") -> Refusal:
    """Return a refusal of one type."""
    headers = {"x-amzn-errortype": f"{kind}:http://internal.amazon.com/coral/{kind}/"}
    return Refusal(STATUSES[kind], {"message": message}, headers)


def error_body(status: int, message: str) -> Json:
    """Return the body of a failure; the real one names its type in a header only."""
    return {"message": f"{message} ({status})"}
