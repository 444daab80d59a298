"""What can go wrong between a request and its response, whoever the server is.

HttpError
├ RequestInvalid      it cannot be sent as it is
├ AddressRefused      its host may not be connected to
├ NameUnresolved      its host has no address
│ └ TooManyLookups    whoever asks has too many names looked up
├ ConnectTimedOut     no connection in time
├ ConnectFailed       no connection
│ ├ NoFileLeft        this process may open no more files
│ ├ CertificateRefused
│ └ TlsFailed
├ ConnectionLost      the server closed the connection before its response was whole
├ ResponseInvalid     the server did not answer in HTTP
├ CodingUnknown       the body is compressed in a way that is not known
├ CodingBroken        the body is not compressed as its header says
└ CodingIncomplete    the compressed body ends too early

`http/client.py` says what each means for a call.
"""


class HttpError(Exception):
    """There is no response, or not all of it."""


class RequestInvalid(HttpError, ValueError):
    """A request cannot be sent as it is. The text says why, and repeats nothing of it."""


class AddressRefused(HttpError):
    """The host may not be connected to at one of its addresses."""


class NameUnresolved(HttpError):
    """The host's name has no address."""


class TooManyLookups(NameUnresolved):
    """Too many host names are being looked up, for the same owner or for all."""


class ConnectTimedOut(HttpError):
    """No connection was there in time."""


class ConnectFailed(HttpError):
    """The server cannot be connected to."""


class NoFileLeft(ConnectFailed):
    """This process, or the machine, may open no more files; that is not the server's matter."""


class CertificateRefused(ConnectFailed):
    """The server's certificate is not one to trust."""


class TlsFailed(ConnectFailed):
    """The server does not speak TLS, or none that both do."""


class ConnectionLost(HttpError):
    """The server closed the connection before its response was whole."""


class ResponseInvalid(HttpError):
    """The server did not answer in HTTP."""


class CodingUnknown(HttpError):
    """The body is compressed in a way that is not known."""


class CodingBroken(HttpError):
    """The body is not compressed as its header says."""


class CodingIncomplete(HttpError):
    """The compressed body ends too early."""
