"""The proxy by its URL: what cannot be one is said before anything is asked, and what does not answer is named."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator

import pytest

from tests.cli.runner import Runner
from tests.support.ports import free_port


class Quiet(http.server.BaseHTTPRequestHandler):
    """A server without TLS, that knows nothing."""

    def log_message(self, *said: object) -> None: ...


@pytest.fixture
def port() -> Iterator[int]:
    """Of a server that is no proxy."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    "url", ["proxy", "ftp://h", "http://h/api/v1", "http://h/mcp/shop", "http://h?x", "http://u@h", "http://"]
)
def test_what_is_no_url_of_a_proxy(run: Runner, url: str) -> None:
    done = run("token", "list", "--url", url, "--token", "plt_x")
    assert (done.code, done.err.splitlines()[0]) == (2, "policylayer: --url is not the proxy's URL")
    assert "without a path" in done.err


def test_https_where_plain_http_is_spoken(run: Runner, port: int) -> None:
    done = run("token", "list", "--url", f"https://127.0.0.1:{port}", "--token", "plt_x")
    assert done.code == 1
    assert done.err.splitlines() == [
        f"policylayer: what listens at `https://127.0.0.1:{port}` speaks http, not https",
        f"  help: is it `--url http://127.0.0.1:{port}`?",
    ]


def test_nobody_there_and_somebody_else_there(run: Runner, port: int) -> None:
    nobody = run("token", "list", "--url", f"http://127.0.0.1:{free_port()}/", "--token", "plt_x")
    assert (nobody.code, "connection refused" in nobody.err, "[errno" in nobody.err) == (1, True, False)
    other = run("token", "list", "--url", f"http://127.0.0.1:{port}", "--token", "plt_x")
    assert (other.code, "did not answer as policylayer does" in other.err) == (1, True)
