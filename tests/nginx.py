"""nginx with the configuration that `qchat serve --write-deploy` writes, on a port of its own."""

import http.client
import os
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

MAIN = """
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
{user}
events {{}}
http {{
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/qchat.conf;
}}
"""


@dataclass(frozen=True)
class Front:
    """A running nginx."""

    port: int
    certificate: Path
    log: Path

    def connect(self) -> http.client.HTTPSConnection:
        context = ssl.create_default_context(cafile=str(self.certificate))
        return http.client.HTTPSConnection("localhost", self.port, timeout=60, context=context)

    def ask(
        self, method: str, path: str, body: str | None = None, **headers: str
    ) -> tuple[int, dict[str, str], str]:
        """Status, headers (names in lower case) and text."""
        with closing(self.connect()) as connection:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            received = {name.lower(): value for name, value in answer.getheaders()}
            return answer.status, received, answer.read().decode()


@contextmanager
def nginx(folder: Path, written: str) -> Iterator[Front]:
    """Run it with the text of the `nginx.conf` that was written.

    Tests that call it are marked with ``needs_tool("nginx", "openssl")``.
    """
    folder.mkdir()
    names = {"-keyout": "privkey.pem", "-out": "fullchain.pem"}
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost"]
    made += ["-addext", "subjectAltName=DNS:localhost"]
    for option, name in names.items():
        made += [option, str(folder / name)]
    subprocess.run(made, check=True, capture_output=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    for old, new in {  # the three places that are a machine's
        "listen 443 ssl;": f"listen 127.0.0.1:{port} ssl;",
        "/etc/qchat/tls": str(folder),
        "/var/log/nginx/qchat.log": str(folder / "access.log"),
    }.items():
        assert old in written
        written = written.replace(old, new)
    (folder / "qchat.conf").write_text(written, "utf-8")
    user = "user root;" if os.getuid() == 0 else ""
    main = folder / "main.conf"
    main.write_text(MAIN.format(folder=folder, user=user))
    process = subprocess.Popen(
        ["nginx", "-p", str(folder), "-c", str(main)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        deadline = time.monotonic() + 30
        while not listens(port):
            ended = process.poll() is not None
            assert not ended, process.stderr and process.stderr.read().decode()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        yield Front(port, folder / "fullchain.pem", folder / "access.log")
    finally:
        process.terminate()
        process.wait(30)
        assert process.stderr is not None
        process.stderr.close()


_TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


@contextmanager
def plain_proxy(folder: Path, port: int, upstream: int, location: str) -> Iterator[str]:
    """An nginx on `port` that passes everything to the port `upstream`; yields its URL.

    `location` is put into its only location block. Tests that call it are marked with
    ``needs_tool("nginx")``.
    """
    (folder / "nginx.conf").write_text(
        f"daemon off; pid {folder}/pid; error_log {folder}/error.log;\n"
        "events {} http { access_log off;\n"
        + "".join(f"{kind}_temp_path {folder}/{kind};\n" for kind in _TEMPORARY)
        + f"server {{ listen 127.0.0.1:{port}; location / {{\n"
        f"proxy_pass http://127.0.0.1:{upstream}; {location} }} }} }}\n"
    )
    process = subprocess.Popen(["nginx", "-p", str(folder), "-c", "nginx.conf", "-e", "stderr"])
    try:
        deadline = time.monotonic() + 20
        while not listens(port):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)


def listens(port: int) -> bool:
    """Whether somebody takes connections there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
