"""UP-22: certificates are always verified, and old protocols refused. There is no switch for it."""

from __future__ import annotations

import asyncio
import datetime
import os
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from policylayer.core.errors import NotSent
from tests.support.processes import ROOT
from tests.upstream.helpers import call, post, upstream_to

pytestmark = pytest.mark.anyio


def certificate(folder: Path, days: int = 1) -> Path:
    """A self-signed certificate for localhost, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=9))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = folder / "server.pem"
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(secret + built.public_bytes(serialization.Encoding.PEM))
    return path


@asynccontextmanager
async def tls_server(
    pem: Path, version: ssl.TLSVersion | None = None, reply: bytes = b""
) -> AsyncIterator[tuple[str, list[bytes]]]:
    """A TLS server that keeps what it reads."""
    received: list[bytes] = []

    async def keep(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.append(await reader.read(65536))
        writer.write(reply)
        writer.close()

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    if version is not None:
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = version
        context.set_ciphers("ALL:@SECLEVEL=0")
    server = await asyncio.start_server(keep, "127.0.0.1", 0, ssl=context)
    async with server:
        yield f"https://localhost:{server.sockets[0].getsockname()[1]}/mcp", received


@pytest.mark.parametrize("days", [1, -1], ids=["self-signed", "expired"])
async def test_a_certificate_that_cannot_be_trusted_is_refused(tmp_path: Path, days: int) -> None:
    async with tls_server(certificate(tmp_path, days)) as (url, received), upstream_to(url) as upstream:
        with pytest.raises(NotSent, match="no certificate that can be trusted"):
            await upstream.exchange(post(call()))
    assert received in ([], [b""])


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1 is deprecated:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated:DeprecationWarning")
async def test_an_old_protocol_is_refused(tmp_path: Path) -> None:
    async with tls_server(certificate(tmp_path), ssl.TLSVersion.TLSv1_1) as (url, _), upstream_to(url) as upstream:
        with pytest.raises(NotSent):
            await upstream.exchange(post(call()))


async def test_a_server_that_does_not_speak_tls(tmp_path: Path) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server, upstream_to(f"https://localhost:{server.sockets[0].getsockname()[1]}/mcp") as upstream:
        with pytest.raises(NotSent):
            await upstream.exchange(post(call()))


ASK = """
import asyncio, sys
from policylayer.core.errors import UpstreamError
from policylayer.serve.logs import configure
from tests.upstream.helpers import call, upstream_to, whole, post

async def main():
    for url in sys.argv[1:]:
        async with upstream_to(url) as upstream:
            try:
                answer, _ = await whole(upstream, post(call()))
                print(answer.status)
            except UpstreamError as error:
                print(error.code, error.message)

configure()
asyncio.run(main())
"""


async def test_an_authority_of_ones_own_is_believed_and_only_for_its_names(tmp_path: Path) -> None:
    """SSL_CERT_FILE adds one, as the message of a refused certificate says. It is read once: hence a process for it."""
    pem = certificate(tmp_path)
    async with tls_server(pem, reply=b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}") as (url, received):
        other = url.replace("localhost", "127.0.0.1")
        program = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", ASK, url, other),
            cwd=ROOT,
            env={**os.environ, "SSL_CERT_FILE": str(pem)},
            stdout=asyncio.subprocess.PIPE,
        )
        said, _ = await program.communicate()
    first, second = said.decode().splitlines()
    assert first == "200"
    assert second.startswith("upstream_not_sent server `rec` has no certificate that can be trusted")
    assert len([one for one in received if one]) == 1
