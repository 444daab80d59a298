"""TLS to servers outside the deployment: which certificates are accepted, on any Python alike.

Used by `providers/http1` and `oidc`, and by `modelplane up` for its own port; replicas of hosted
models on other machines are believed by their own certificates. TLS between the planes is
`rpc/tls.py`.
"""

import contextlib
import ssl


def client_context(authorities: str | None = None) -> ssl.SSLContext:
    """Return what accepts servers that a trusted authority vouches for under their name.

    Args:
        authorities: File of the authorities to trust, PEM; None: the system's, or those of the
            file that the variable SSL_CERT_FILE names.

    Raises:
        OSError: The file cannot be read or holds no certificate.
    """
    context = ssl.create_default_context(cafile=authorities)
    # From 3.13 on, Python refuses certificates without the identifiers of keys that RFC 5280 asks
    # for. Many an authority inside a company leaves them out, and Envoy does not ask either: which
    # servers can be reached must not depend on the Python that is installed.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


def pinned(certificate: bytes) -> ssl.SSLContext:
    """Return what accepts a server by one certificate, which is the server's own, and no other.

    Args:
        certificate: The certificate, DER, signed by its own key; what is none accepts no server.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # Whoever holds that certificate's key is the server, whatever its address is.
    context.check_hostname = False
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    with contextlib.suppress(ssl.SSLError):
        context.load_verify_locations(cadata=certificate)
    return context
