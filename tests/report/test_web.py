"""Serving: on loopback, under its own name, below its folder, with careful headers, and never for long."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hopperbook.errors import InputError
from hopperbook.report import web


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[str, int]]:
    folder = tmp_path / "report"
    (folder / "data").mkdir(parents=True)
    (folder / "index.html").write_text("the page")
    (folder / ".hidden").write_text("not for readers")
    (tmp_path / "secret").write_text("another customer's")
    (folder / "way-out").symlink_to(tmp_path / "secret")
    server = web.server(folder, 0)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield server.server_address[0], server.server_address[1]  # type: ignore[misc]
    server.shutdown()
    server.server_close()
    thread.join()


def ask(served: tuple[str, int], path: str, host: str = "localhost") -> tuple[int, dict[str, str], str]:
    connection = http.client.HTTPConnection(*served, timeout=10)
    connection.putrequest("GET", path, skip_host=True)
    if host:
        connection.putheader("Host", host)
    connection.endheaders()
    answer = connection.getresponse()
    found = answer.status, dict(answer.getheaders()), answer.read().decode()
    connection.close()
    return found


def test_a_page_comes_with_its_headers(served: tuple[str, int]) -> None:
    status, headers, body = ask(served, "/", f"127.0.0.1:{served[1]}")
    assert (served[0], status, body) == ("127.0.0.1", 200, "the page")
    assert headers["X-Content-Type-Options"] == "nosniff" and headers["X-Frame-Options"] == "DENY"
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert "Python" not in headers["Server"]


@pytest.mark.parametrize(
    "path",
    [
        "/data/",
        "/data",
        "/../secret",
        "/%2e%2e/secret",
        "/way-out",
        "/.hidden",
        "/%00",
        "/a%00b",
        "/%ff",
        "//etc/passwd",
    ],
)
def test_nothing_else_is_shown(served: tuple[str, int], path: str) -> None:
    status, headers, body = ask(served, path)
    assert status in (301, 404) and "secret" not in body and "customer" not in body
    assert headers["X-Content-Type-Options"] == "nosniff"


def test_an_address_that_is_none_is_answered(served: tuple[str, int]) -> None:
    assert ask(served, "http://[/")[0] == 400


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "", "localhost.evil.example"])
def test_another_name_is_refused(served: tuple[str, int], host: str) -> None:
    assert ask(served, "/", host)[0] in (400, 421)


def test_slow_readers_hold_nothing_up(served: tuple[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web.Handler, "timeout", 0.5)
    slow = [socket.create_connection(served) for _ in range(web.MOST + 20)]
    time.sleep(0.3)
    assert threading.active_count() < web.MOST + 10
    time.sleep(1.0)
    assert ask(served, "/")[0] == 200
    for each in slow:
        each.close()


def test_a_port_that_is_taken_is_a_sentence(served: tuple[str, int], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="port: .* a port that is free"):
        web.server(tmp_path / "report", served[1])
