"""The control plane's domain errors, and the one table from them to what a caller sees.

ControlPlaneError
├── InvalidParameter        a value that the caller must change
├── MalformedRequest        no JSON, or a value of the wrong type
├── Unauthenticated         no credential, or an unknown one
├── PermissionDenied        known, but not allowed
├── NotFound                no such object
├── AlreadyExists           the name is taken
├── Conflict                not in the present state, for example during an update
├── QuotaExceeded           more than the caller may have
├── LimitExceeded           more than this deployment holds of something
├── NotSupported            part of the mirrored API that this deployment does not offer
├── TooManyCalls            more at a time than one may have; soon again
├── Overloaded              more at a time than this process takes; soon again
├── ReportTooLong           would read for too long
├── StoreUnavailable        the database does not answer
├── RegistryAway            the registry of models does not answer
├── LauncherAway            nothing runs hosted models now
├── IssuerAway              an issuer with whose accounts one signs in does not answer
└── LoginRefused            no token is issued (RFC 6749, section 5.2)
    ├── InvalidClient       unknown client, or a wrong secret
    ├── InvalidLogin        malformed form
    ├── InvalidScope        a scope that is not offered
    ├── UnsupportedGrant    a grant that is not offered
    ├── LoginThrottled      too many have failed
    └── LoginUnavailable    the database does not answer
"""

import grpc

from modelplane.adapters.shared.rpc.status import Status, StatusTable


class ControlPlaneError(Exception):
    """Base of all domain errors; the message is for the caller."""


class InvalidParameter(ControlPlaneError):
    """A value that the caller must change."""


class MalformedRequest(ControlPlaneError):
    """No JSON, or a value of the wrong type."""


class Unauthenticated(ControlPlaneError):
    """No credential, or an unknown one."""


class PermissionDenied(ControlPlaneError):
    """The caller is known but not allowed."""


class NotFound(ControlPlaneError):
    """There is no such object."""


class AlreadyExists(ControlPlaneError):
    """The name is taken."""


class Conflict(ControlPlaneError):
    """Not possible in the present state."""


class QuotaExceeded(ControlPlaneError):
    """More than the caller may have of something."""


class LimitExceeded(ControlPlaneError):
    """More than this deployment holds of something."""


class NotSupported(ControlPlaneError):
    """Part of the mirrored API that this deployment does not offer."""


class TooManyCalls(ControlPlaneError):
    """More of something at a time than one caller, or one kind of call, may have."""


class Overloaded(ControlPlaneError):
    """More calls at a time than this process takes."""


class ReportTooLong(ControlPlaneError):
    """Whoever asked must select less."""


class StoreUnavailable(ControlPlaneError):
    """The database does not answer; the caller may try again."""


class RegistryAway(ControlPlaneError):
    """The registry of models does not answer; the caller may try again."""


class LauncherAway(ControlPlaneError):
    """Nothing runs hosted models now; the caller may try again."""


class IssuerAway(ControlPlaneError):
    """An issuer does not answer as it should; the caller may try again."""


class LoginRefused(ControlPlaneError):
    """No token is issued; Envoy gives the answer the form that OAuth has for it."""


class InvalidClient(LoginRefused):
    """Unknown client, or a wrong secret."""


class InvalidLogin(LoginRefused):
    """Malformed form."""


class InvalidScope(LoginRefused):
    """A scope that is not offered."""


class UnsupportedGrant(LoginRefused):
    """A grant that is not offered."""


class LoginThrottled(LoginRefused):
    """Too many logins from the address have failed; the client may try again."""


class LoginUnavailable(LoginRefused):
    """The database does not answer; the client may try again."""


# What passes by itself: whoever meets one is told when to try again.
PASSING = (
    TooManyCalls,
    Overloaded,
    StoreUnavailable,
    RegistryAway,
    LauncherAway,
    IssuerAway,
    LoginThrottled,
    LoginUnavailable,
)

_CODE = grpc.StatusCode

STATUS_TABLE = StatusTable(
    {
        InvalidParameter: Status(_CODE.INVALID_ARGUMENT, 400, "INVALID_PARAMETER_VALUE"),
        MalformedRequest: Status(_CODE.INVALID_ARGUMENT, 400, "BAD_REQUEST"),
        Unauthenticated: Status(_CODE.UNAUTHENTICATED, 401, "UNAUTHENTICATED"),
        PermissionDenied: Status(_CODE.PERMISSION_DENIED, 403, "PERMISSION_DENIED"),
        NotFound: Status(_CODE.NOT_FOUND, 404, "RESOURCE_DOES_NOT_EXIST"),
        AlreadyExists: Status(_CODE.ALREADY_EXISTS, 409, "RESOURCE_ALREADY_EXISTS"),
        Conflict: Status(_CODE.ABORTED, 409, "RESOURCE_CONFLICT"),
        # Not 429, which clients take for a reason to try again.
        QuotaExceeded: Status(_CODE.RESOURCE_EXHAUSTED, 400, "QUOTA_EXCEEDED"),
        LimitExceeded: Status(_CODE.RESOURCE_EXHAUSTED, 400, "RESOURCE_LIMIT_EXCEEDED"),
        NotSupported: Status(_CODE.UNIMPLEMENTED, 501, "NOT_IMPLEMENTED"),
        TooManyCalls: Status(_CODE.RESOURCE_EXHAUSTED, 429, "REQUEST_LIMIT_EXCEEDED"),
        Overloaded: Status(_CODE.UNAVAILABLE, 503, "TEMPORARILY_UNAVAILABLE"),
        ReportTooLong: Status(_CODE.DEADLINE_EXCEEDED, 504, "DEADLINE_EXCEEDED"),
        StoreUnavailable: Status(_CODE.UNAVAILABLE, 503, "TEMPORARILY_UNAVAILABLE"),
        RegistryAway: Status(_CODE.UNAVAILABLE, 503, "TEMPORARILY_UNAVAILABLE"),
        LauncherAway: Status(_CODE.UNAVAILABLE, 503, "TEMPORARILY_UNAVAILABLE"),
        IssuerAway: Status(_CODE.UNAVAILABLE, 503, "TEMPORARILY_UNAVAILABLE"),
        # Codes in small letters are those of OAuth.
        LoginRefused: Status(_CODE.INVALID_ARGUMENT, 400, "invalid_request"),
        InvalidClient: Status(_CODE.UNAUTHENTICATED, 401, "invalid_client"),
        InvalidScope: Status(_CODE.INVALID_ARGUMENT, 400, "invalid_scope"),
        UnsupportedGrant: Status(_CODE.INVALID_ARGUMENT, 400, "unsupported_grant_type"),
        LoginThrottled: Status(_CODE.RESOURCE_EXHAUSTED, 429, "temporarily_unavailable"),
        LoginUnavailable: Status(_CODE.UNAVAILABLE, 503, "temporarily_unavailable"),
    }
)
