"""A certificate that does not hold good is a mistake, not an outage; told without reading sentences."""

from __future__ import annotations

import socket
import socketserver
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from typing_extensions import override

from cosmos_emulator.tls import self_signed
from projector.core.errors import ConfigurationError, SinkUnavailable
from projector.postgres import encryption, schema
from projector.postgres.address import address
from projector.postgres.encryption import SSL_REQUEST, demanded


class HangsUp(socketserver.BaseRequestHandler):
    """A server that speaks TLS, and ends after the handshake."""

    @override
    def handle(self) -> None:
        if self.request.recv(len(SSL_REQUEST)) != SSL_REQUEST:
            return
        self.request.sendall(b"S")
        assert isinstance(self.server, TlsServer)
        with (
            suppress(OSError),
            self.server.context.wrap_socket(self.request, server_side=True) as wrapped,
        ):
            wrapped.recv(1)


class TlsServer(socketserver.ThreadingTCPServer):
    context: ssl.SSLContext


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Port of a server elsewhere with a certificate of its own making for 127.0.0.1 and localhost."""
    monkeypatch.setattr("projector.postgres.address.is_local", lambda _: False)
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    with TlsServer(("127.0.0.1", 0), HangsUp) as server:
        server.context = self_signed(["localhost"], time.time()).context
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


@pytest.fixture
def roots(port: int, tmp_path: Path) -> Path:
    """A file that holds the server's certificate."""
    anything = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    anything.check_hostname, anything.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(SSL_REQUEST)
        assert connection.recv(1) == b"S"
        with anything.wrap_socket(connection) as wrapped:
            found = wrapped.getpeercert(binary_form=True)
    assert found is not None
    file = tmp_path / "roots.pem"
    file.write_text(ssl.DER_cert_to_PEM_cert(found))
    return file


def test_mistakes_about_certificates_are_told_with_their_remedy(
    port: int, roots: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"postgresql://u:hush@127.0.0.1:{port}/d?sslmode=verify-full"
    for more, said in (
        ("&sslrootcert=/none", "no file of root certificates /none.*sslrootcert=system"),
        ("&sslrootcert=system", "127.0.0.1 is not accepted: self-signed"),
        (f"&sslrootcert={roots}&host=db.example&hostaddr=127.0.0.1", "db.example.*mismatch"),
    ):
        with pytest.raises(ConfigurationError, match=said):
            schema.look(url + more)
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: None)
    monkeypatch.setattr(encryption, "_roots_of_this_machine", lambda: str(roots))
    for good in (f"&sslrootcert={roots}", "&sslrootcert=system"):
        with pytest.raises(SinkUnavailable):  # it hangs up
            schema.look(url + good)


def test_the_certificates_of_this_machine_are_found_where_this_machine_has_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "all.pem"
    file.touch()
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.setattr(encryption, "ROOTS", ("/none", str(file)))
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: _Nowhere)
    told = {"sslmode": "verify-full", "sslrootcert": str(file)}
    assert demanded(address("postgresql://db.example/d?sslrootcert=system")) == told
    monkeypatch.setenv("SSL_CERT_FILE", "/chosen.pem")  # OpenSSL looks there by itself
    assert demanded(address("postgresql://db.example/d?sslrootcert=system")) == {}


class _Nowhere:
    cafile = ""
