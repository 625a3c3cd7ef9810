"""Whole requests as atheris thinks them up: the WSGI application, and `replay`'s recordings.

What must hold: no answer is a fault of ours (5xx), errors are problem documents, nothing without
credentials is written, and whatever text is recorded is a delivery or a matter of usage. Lengths
lie, bodies end early or come in chunks, header names are spelt as gateways spell them.
"""

import json
import sys
from contextlib import ExitStack
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import atheris  # type: ignore[import-untyped, import-not-found, unused-ignore]

with atheris.instrument_imports(include=["webhook_launcher"]):
    from tests.builders import Edge, edge_in
    from webhook_launcher.cli.options import UsageError
    from webhook_launcher.cli.recording import parse_recording

from werkzeug.test import run_wsgi_app

_SERVER_FAULT = 500
_PATHS = ("/hooks/hub", "/hooks/ghcr", "/hooks/local", "/hooks/ci", "/hooks/none", "/hooks/")
SEEDS = (
    b"POST /hooks/hub/guess HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}",
    b"POST /hooks/ghcr HTTP/1.1\nContent-Length: 99\nX-Hub-Signature-256: sha256=00\n\n{}",
    b"POST /hooks/local HTTP/1.1\nTransfer-Encoding: chunked\nAuthorization: Basic Og==\n\n"
    b"2\n{}\n0\n\n",
    b"POST /hooks/ci HTTP/1.1\nContent-Length: -1\nwebhook-id: a\nwebhook-signature: v1,\n\n[]",
    b"POST /hooks/ghcr HTTP/1.1\nX_Hub_Signature_256: a\nX-Hub-Signature-256: b\n\npayload=%7B%7D",
    b"OPTIONS /hooks/hub HTTP/1.1\nWebHook-Request-Origin: eventgrid.azure.net\n\n",
    b"PUT /hooks/hub/%ff%0a HTTP/1.1\nContent-Type: text/plain; charset=utf-16\n\n\xff\xfe",
)


class UnsoundError(Exception):
    """An answer that must not be given."""


def one_input(edge: Edge, raw: bytes) -> None:
    """A request as text; what cannot be read as one is only for `replay`."""
    try:
        delivery = parse_recording(raw, "recording").delivery
    except UsageError:
        return
    method, _, rest = raw.lstrip(b"\r\n").partition(b" ")
    target = rest.split()[0].decode("latin-1")
    answer, status, headers = run_wsgi_app(
        edge.app, environ(method.decode("latin-1"), target, dict(delivery.headers), delivery.body)
    )
    code = int(status.partition(" ")[0])
    body = b"".join(answer)
    if code >= _SERVER_FAULT:
        raise UnsoundError(f"{status}: {body[:200]!r}")
    if headers.get("Content-Type") == "application/problem+json":
        json.loads(body)
    if edge.journal.intents.pending():
        raise UnsoundError("an intent without a credential")


def environ(method: str, target: str, headers: dict[str, str], body: bytes) -> dict[str, Any]:
    """As a server spells it (PEP 3333); the length is what the request says, true or not."""
    path, _, query = target.partition("?")
    known = path if path.startswith("/") else _PATHS[len(path) % len(_PATHS)]
    made: dict[str, Any] = {
        "REQUEST_METHOD": method,
        "PATH_INFO": known,
        "SCRIPT_NAME": "",
        "QUERY_STRING": query,
        "SERVER_NAME": "launcher",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.url_scheme": "http",
        "wsgi.input": BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.input_terminated": "chunked" in headers.get("transfer-encoding", ""),
    }
    for name, value in headers.items():
        key = name.upper().replace("-", "_")
        made[key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"] = value
    return made


def main() -> None:
    """`edge.py CORPUS -max_total_time=60 …`: libFuzzer's own options."""
    corpus = Path(sys.argv[1])
    corpus.mkdir(parents=True, exist_ok=True)
    for number, raw in enumerate(SEEDS):
        (corpus / f"seed-{number}").write_bytes(raw)
    with ExitStack() as stack:
        directory = Path(stack.enter_context(TemporaryDirectory()))
        edge = stack.enter_context(edge_in(directory))
        atheris.Setup(sys.argv, lambda raw: one_input(edge, raw))
        atheris.Fuzz()


if __name__ == "__main__":
    main()
