"""A loopback HTTP server of fixed files, in place of a model hub or a site with recipes."""

import contextlib
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class FileRequest:
    """A request as it came."""

    path: str
    headers: Message


@dataclass
class FileServer:
    """A running server: its base URL, and what it was asked."""

    url: str
    requests: list[FileRequest] = field(default_factory=list)


@contextlib.contextmanager
def file_server(
    files: Mapping[str, bytes],
    *,
    redirects: Mapping[str, str] | None = None,
    status: int = 404,
    headers: Mapping[str, str] | None = None,
) -> Iterator[FileServer]:
    """Serve `files` by path; all other paths answer `status` with `headers`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            server.requests.append(FileRequest(self.path, self.headers))
            path = self.path.partition("?")[0]
            target = (redirects or {}).get(path)
            content = files.get(path, b"")
            self.send_response(302 if target else 200 if path in files else status)
            if target:
                self.send_header("Location", target)
            elif path not in files:
                for name, value in (headers or {}).items():
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content)

        do_HEAD = do_GET  # noqa: N815

        def log_message(self, *_arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        server = FileServer(f"http://127.0.0.1:{httpd.server_port}")
        thread = threading.Thread(target=httpd.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            httpd.shutdown()
            thread.join()
