"""Serve a built report on this machine alone: files below its folder, for its own name, with careful headers."""

from __future__ import annotations

import http.server
import os
import re
import socket
import threading
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from hopperbook.errors import InputError

#: Seconds that a connection may say nothing, and connections that are held at once.
IDLE_S, MOST = 10.0, 64
HOSTS = ("127.0.0.1", "localhost", "[::1]")
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'self' 'unsafe-inline' data:; object-src 'none'; base-uri 'none';"
    " frame-ancestors 'none'",
}


class Handler(http.server.SimpleHTTPRequestHandler):
    """Answers GET and HEAD for files of one folder; lists nothing, follows no link out of it."""

    timeout = IDLE_S
    server_version, sys_version = "hopperbook", ""

    def do_GET(self) -> None:
        """Answer with a file."""
        if self._allowed():
            super().do_GET()

    def do_HEAD(self) -> None:
        """Answer with a file's headers."""
        if self._allowed():
            super().do_HEAD()

    def _allowed(self) -> bool:
        """Refuse a request under another name, and one for anything that is not a file below the folder."""
        host = re.sub(r":[0-9]*$", "", self.headers.get("Host") or "")
        if host.lower() not in HOSTS:
            self.send_error(HTTPStatus.MISDIRECTED_REQUEST)
            return False
        try:
            path = unquote(urlsplit(self.path).path, errors="replace")
        except ValueError:
            self.send_error(HTTPStatus.BAD_REQUEST)
            return False
        if "\0" in path or any(part.startswith(".") for part in path.split("/")):
            self.send_error(HTTPStatus.NOT_FOUND)
            return False
        root = os.path.realpath(str(self.directory))
        real = os.path.realpath(self.translate_path(self.path))
        if real != root and not real.startswith(root + os.sep):
            self.send_error(HTTPStatus.NOT_FOUND)
            return False
        return True

    def list_directory(self, path: Any) -> None:
        """List nothing."""
        self.send_error(HTTPStatus.NOT_FOUND)

    def end_headers(self) -> None:
        """Send our headers with every answer."""
        for name, value in HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Write nothing: what is read is the reader's affair."""


class Server(http.server.ThreadingHTTPServer):
    """Holds a limited number of connections; those beyond it are closed at once."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], handler: Any):
        self._room = threading.BoundedSemaphore(MOST)
        super().__init__(address, handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread of its own, where there is room."""
        if not self._room.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer, and make room."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of connections that broke."""


def server(folder: Path, port: int) -> Server:
    """Return a server of a report, bound and not yet serving.

    Parameters
    ----------
    folder : Path
        A built report, or a folder of them with its index.
    port : int
        On the loopback address; 0 for any that is free.

    Returns
    -------
    Server
        Call ``serve_forever``.

    Raises
    ------
    InputError
        If there is no report, or the port is taken.
    """
    if not (folder / "index.html").is_file():
        raise InputError("folder", str(folder), "a built report (hopperbook build makes one)")

    def handler(*given: Any) -> Handler:
        return Handler(*given, directory=str(folder))

    try:
        return Server(("127.0.0.1", port), handler)
    except (OSError, socket.gaierror):
        raise InputError("port", port, "a port that is free", "0 (any free port)") from None
