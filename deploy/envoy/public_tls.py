"""TLS of the public port; used by `listener.py`, `config.py` and whoever is given its files."""

import ssl
from pathlib import Path

from modelplane.deploy.envoy.clusters import Block
from modelplane.deploy.envoy.options import Tls

_TLS = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3"
_SECRET = "public"  # noqa: S105 - its name


def checked(tls: Tls) -> Tls:
    """Return the files with their whole paths.

    Raises:
        ValueError: They are no certificate and its key.
    """
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(tls.certificate, tls.key)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ValueError(
            f"cannot use the public certificate {tls.certificate} with {tls.key}: {reason}"
        ) from error
    return Tls(str(Path(tls.certificate).absolute()), str(Path(tls.key).absolute()))


def build_public_tls(tls: Tls, sds: str) -> Block:
    """Return the transport socket of the public port.

    Args:
        tls: Files of certificate and key.
        sds: File with `build_secret`'s answer, watched by Envoy; empty to read `tls` once.
    """
    if sds:
        source = {"path_config_source": {"path": sds}, "resource_api_version": "V3"}
        chosen: Block = {
            "tls_certificate_sds_secret_configs": [{"name": _SECRET, "sds_config": source}]
        }
    else:
        chosen = {"tls_certificates": [_files(tls)]}
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": f"{_TLS}.DownstreamTlsContext",
            "common_tls_context": {
                "alpn_protocols": ["h2", "http/1.1"],
                "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
                **chosen,
            },
        },
    }


def build_secret(tls: Tls) -> Block:
    """Return the certificate as a resource that is read again when its directory changes."""
    directory = {"path": str(Path(tls.certificate).parent)}
    return {
        "@type": f"{_TLS}.Secret",
        "name": _SECRET,
        "tls_certificate": {**_files(tls), "watched_directory": directory},
    }


def _files(tls: Tls) -> Block:
    return {
        "certificate_chain": {"filename": tls.certificate},
        "private_key": {"filename": tls.key},
    }
