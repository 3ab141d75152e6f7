"""The functions of http-json.yaml, run by sh with the real curl against a small server."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from adapter.config.library import library
from adapter.core.answers import classify
from adapter.core.backend import Backend, backend_from, merge
from adapter.core.library import commands_text
from adapter.core.template import quote
from adapter.results import CompletedCommand
from tests.core.samples import shipped_document
from tests.fakes.tes import basic

SMALL: dict[str, Any] = {
    "submit": {"command": "true", "job_id": "(?P<job_id>x)"},
    "monitor": {"command": "true {{ job_id }}", "row": "(?P<job_id>x)(?P<state>y)"},
    "kill": {"command": "true {{ job_id }}"},
    "script": "true",
}


def http_json(**values: Any) -> Backend:
    return backend_from(merge(merge(shipped_document("http-json"), SMALL), {"values": values}), name="small")


class Server:
    """Answers as its address says: ``/503/...`` is a 503; ``flaky`` is a 200 from the third time on."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, str | None, bytes]] = []
        self.connections: set[int] = set()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                server.seen.append((self.command, self.path, self.headers["Authorization"], body))
                server.connections.add(self.client_address[1])
                path = self.path.partition("?")[0].removeprefix("http://service.invalid")
                status, _, what = path.strip("/").partition("/")
                if what == "flaky" and len(server.seen) >= 3:
                    status = "200"
                content = b"" if what == "blank" else f'{{"at": "{self.path}",\n "n": 1}}\n'.encode()
                self.send_response(int(status))
                if status == "302":
                    self.send_header("Location", "/200/elsewhere")
                self.send_header("Content-Length", str(len(content) + (1000 if what == "cut" else 0)))
                self.end_headers()
                self.wfile.write(content)
                self.close_connection = what == "cut"

            do_POST = do_GET  # noqa: N815

            def log_message(self, *args: Any) -> None:
                """Nothing is printed."""

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    thread = threading.Thread(target=made.http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    yield made
    made.http.shutdown()
    made.http.server_close()
    thread.join()


def ask(command: str, secrets: dict[str, str] | None = None, **values: Any) -> CompletedCommand:
    """Run *command* as a site would: the secrets and the functions before it, all on standard input."""
    backend = http_json(**values)
    lines = [f"secret_{name}={quote(text)}" for name, text in (secrets or {}).items()]
    lines.append(commands_text(backend, [], library()))
    done = subprocess.run(
        ["/bin/sh", "-s"], input="\n".join([*lines, command, ""]), capture_output=True, text=True, check=False
    )
    return CompletedCommand(command=command, exit_code=done.returncode, stdout=done.stdout, stderr=done.stderr)


def error_class(completed: CompletedCommand) -> str | None:
    return classify(http_json(), completed)


def test_only_the_body_of_a_good_answer_is_printed(server: Server) -> None:
    done = ask(f"http GET {server.url}/200/a")
    assert (done.exit_code, done.stdout.strip(), done.stderr) == (0, '{"at": "/200/a",\n "n": 1}', "")


def test_of_many_urls_the_good_bodies_are_printed_and_the_connection_is_kept(server: Server) -> None:
    done = ask(f"http GET {server.url}/200/a {server.url}/404/b {server.url}/200/c")
    assert [line for line in done.stdout.splitlines() if "at" in line] == ['{"at": "/200/a",', '{"at": "/200/c",']
    assert done.stderr.splitlines()[:2] == ["HTTP status 404", '{"at": "/404/b",']
    assert done.exit_code == 22
    assert len(server.connections) == 1


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (302, "permanent"), (400, "permanent"), (401, "auth"), (403, "auth"), (404, "gone"), (407, "auth"),
        (408, "transient"), (409, "transient"), (410, "gone"), (413, "permanent"), (422, "permanent"), (429, "limit"),
        (500, "transient"), (502, "transient"), (503, "transient"), (504, "transient"),
    ],
)  # fmt: skip
def test_every_status_has_its_class(server: Server, status: int, kind: str) -> None:
    done = ask(f"http POST {server.url}/{status}/x --data '{{}}'")
    assert done.exit_code != 0
    assert done.stdout == ""
    assert done.stderr.startswith(f"HTTP status {status}")
    assert error_class(done) == kind
    assert len(server.seen) == 1


def test_a_get_is_repeated_until_it_is_answered_and_nothing_of_the_failures_is_shown(server: Server) -> None:
    done = ask(f"http GET {server.url}/503/flaky", retry_wait=0)
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.count('"at"') == 1
    assert len(server.seen) == 3


def test_a_get_is_repeated_a_bounded_number_of_times(server: Server) -> None:
    done = ask(f"http GET {server.url}/503/x", get_tries=2, retry_wait=0)
    assert error_class(done) == "transient"
    assert done.stderr.count("HTTP status 503") == 1
    assert len(server.seen) == 2


def test_a_get_is_not_repeated_once_its_time_is_over(server: Server) -> None:
    ask(f"http GET {server.url}/503/x", retry_within=0)
    assert len(server.seen) == 1


def test_a_post_is_never_repeated(server: Server) -> None:
    done = ask(f"http POST {server.url}/503/flaky --data '{{}}'; http POST {server.url}/200/cut --data '{{}}'")
    assert error_class(done) == "transient"
    assert [path for _, path, _, _ in server.seen] == ["/503/flaky", "/200/cut"]


def test_half_an_answer_is_none(server: Server) -> None:
    done = ask(f"http GET {server.url}/200/cut", get_tries=1)
    assert done.stdout == ""
    assert "HTTP status 000 (the answer was cut off)" in done.stderr
    assert error_class(done) == "transient"


def test_a_list_that_is_not_there_or_empty_says_nothing_of_jobs(server: Server) -> None:
    missing, blank = ask(f"http_list {server.url}/404/x"), ask(f"http_list {server.url}/200/blank")
    assert missing.stderr.startswith("HTTP status 404 of a list")
    assert blank.stderr.startswith("HTTP status 200 without an answer")
    assert [done.exit_code for done in (missing, blank)] == [22, 22]
    assert [error_class(done) for done in (missing, blank)] == [None, None]


def test_a_redirection_is_told_and_not_followed(server: Server) -> None:
    done = ask(f"http GET {server.url}/302/x")
    assert done.stderr.startswith(f"HTTP status 302 to {server.url}/200/elsewhere, which is not followed")
    assert len(server.seen) == 1


def test_no_connection_is_transient_and_another_protocol_is_refused() -> None:
    nobody = ask("http GET http://127.0.0.1:1/x", get_tries=1)
    assert nobody.stderr.startswith("curl: (7) ")
    assert error_class(nobody) == "transient"
    file = ask("http GET file:///etc/hostname")
    assert (file.stdout, error_class(file)) == ("", "permanent")


def test_the_total_timeout_is_kept() -> None:
    silent = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)  # listens, and nobody answers
    try:
        done = ask(f"http POST http://127.0.0.1:{silent.server_address[1]}/x --data y", total_timeout=1)
    finally:
        silent.server_close()
    assert done.stderr.startswith("curl: (28) ")
    assert error_class(done) == "transient"


@pytest.mark.parametrize("text", ["plain", 'quo"te', "back\\slash", "a'b $(id) `id` \\\" {}", "née=é", "\\"])
def test_a_secret_arrives_as_it_is(server: Server, text: str) -> None:
    ask(f"http GET {server.url}/200/a", {"token": text})
    ask(f"http GET {server.url}/200/a", {"password": text}, user="me")
    bearer, login = (authorization or "" for _, _, authorization, _ in server.seen)
    assert bearer.encode("latin-1").decode() == f"Bearer {text}"
    assert login == basic("me", text)


def test_without_secrets_nothing_is_sent(server: Server) -> None:
    ask(f"http GET {server.url}/200/a", {"token": "", "password": "not alone"})
    assert [authorization for _, _, authorization, _ in server.seen] == [None]


def test_a_proxy_is_used_that_was_given(server: Server) -> None:
    done = ask("http GET http://service.invalid/200/a", proxy=server.url)
    assert done.exit_code == 0
    assert [path for _, path, _, _ in server.seen] == ["http://service.invalid/200/a"]


def test_a_private_authority_is_believed_only_where_it_is_given(server: Server, tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.http.socket = context.wrap_socket(server.http.socket, server_side=True)
    url = server.url.replace("http:", "https:")
    stranger = ask(f"http GET {url}/200/a")
    assert stranger.stderr.startswith("curl: (60) ")
    assert error_class(stranger) == "auth"
    missing = ask(f"http GET {url}/200/a", ca="/nowhere/ca.pem")
    assert error_class(missing) == "auth"
    assert server.seen == []
    known = ask(f"http GET {url}/200/a", ca=str(certificate))
    assert (known.exit_code, known.stdout.count("at")) == (0, 1)


def make_certificate(folder: Path) -> Path:
    """Return a file with a certificate for 127.0.0.1 that signed itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tests")])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(address, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    written = folder / "tests.pem"
    written.write_bytes(
        certificate.public_bytes(pem)
        + key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return written
