"""What it means that a request got no answer of the service, by the class of the error below.

Most of it is an outage. A name that nobody knows, a certificate that is not trusted and a proxy
that refuses are mistakes: no waiting mends them.
Source: aiohttp's tree of client errors, which azure-core keeps as `inner_exception`.
"""

from __future__ import annotations

import socket
import ssl

from aiohttp import (
    ClientConnectorCertificateError,
    ClientConnectorDNSError,
    ClientHttpProxyError,
    ClientProxyConnectionError,
)
from azure.core.exceptions import AzureError

from projector.core.errors import ConfigurationError, SourceUnavailable

PROXY_REFUSALS = frozenset({403, 407})


class NameUnknown(SourceUnavailable):
    """Nobody knows the host: a mistake, unless it has been reached before."""


def mistake_of(
    error: AzureError, *, endpoint: str, proxy: str | None
) -> ConfigurationError | NameUnknown | None:
    """The mistake behind an error of azure-core; None where waiting may help."""
    cause = error.inner_exception
    match cause:
        case ClientConnectorCertificateError():
            return ConfigurationError(
                f"the certificate of {endpoint} is not trusted ({_reason(cause)}): name the file of"
                " its authority in SSL_CERT_FILE; for an emulator set PROJECTOR_COSMOS_VERIFY_TLS"
                " to false"
            )
        case ClientHttpProxyError() if cause.status in PROXY_REFUSALS:
            return proxy_refused(cause.status, endpoint=endpoint, proxy=proxy)
        case ClientProxyConnectionError() if _is_unknown(cause.os_error):
            return NameUnknown(
                f"nobody knows the proxy {proxy}: correct HTTP_PROXY and HTTPS_PROXY"
            )
        case ClientConnectorDNSError() if _is_unknown(cause.os_error):
            return NameUnknown(
                f"nobody knows the host of {endpoint}: correct PROJECTOR_COSMOS_ENDPOINT"
                if proxy is None
                else f"nobody knows the proxy {proxy}: correct HTTP_PROXY and HTTPS_PROXY"
            )
        case _:
            return None


def proxy_refused(status: int, *, endpoint: str, proxy: str | None) -> ConfigurationError:
    """A proxy lets nobody through, or nobody without a password."""
    return ConfigurationError(
        f"the proxy {proxy or 'before it'} refused the way to {endpoint} ({status}): put user and"
        " password into HTTP_PROXY and HTTPS_PROXY, or except the host in NO_PROXY"
    )


def _is_unknown(error: OSError) -> bool:
    return isinstance(error, socket.gaierror) and error.errno == socket.EAI_NONAME


def _reason(error: ClientConnectorCertificateError) -> str:
    certificate = error.certificate_error
    if isinstance(certificate, ssl.SSLCertVerificationError):
        return certificate.verify_message
    return type(certificate).__name__
