"""A registry that works, over real sockets, and that a test edits to lie, stall or refuse.

It speaks the pull half of the distribution-spec and distribution's token authentication. `edits`
are called in order with each request and its honest reply, and return the reply that is sent.
"""

import base64
import hashlib
import json
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from webhook_launcher.core.reference import Digest, Reference, parse_reference

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"

Document = dict[str, Any]


@dataclass
class Seen:
    """One request, as it arrived. Header names are in lower case."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes


@dataclass
class Reply:
    """What is sent. `pause` is slept before every byte of the body; `cut` closes in its middle."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    pause: float = 0
    cut: bool = False
    length: bool = True  # send Content-Length; otherwise the end of the connection ends the body
    raw: bytes | None = None  # instead of all of the above


Edit = Callable[[Seen, Reply], Reply]


@dataclass
class Auth:
    """Token or Basic authentication of the fake; `users` may pull, and anybody if `anonymous`."""

    users: dict[str, str] = field(default_factory=dict)
    anonymous: bool = False
    basic: bool = False
    realm: str | None = None  # default: /token of the same server
    expires_in: float | None = 300
    identity_tokens: set[str] = field(default_factory=set)
    valid: dict[str, str] = field(default_factory=dict)  # token -> the scope it was given for
    issued: int = 0


class FakeRegistry:
    """See the module's docstring. `host` is `127.0.0.1:PORT`, as in references."""

    def __init__(self, tls: ssl.SSLContext | None = None, address: str = "127.0.0.1") -> None:
        self.manifests: dict[tuple[str, str], tuple[str, bytes]] = {}
        self.page: int | None = None  # the most tags in one page; None as many as are asked for
        self.blobs: dict[tuple[str, str], bytes] = {}
        # An index per (repository, digest); None: a registry that has no referrers API.
        self.referrers: dict[tuple[str, str], Document] | None = None
        self.seen: list[Seen] = []
        self.edits: list[Edit] = []
        self.auth: Auth | None = None
        self.connections = 0
        self._server = _Server((address, 0), self)
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.host = f"{address}:{self._server.server_address[1]}"
        self.scheme = "https" if tls else "http"
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    # ── content ──────────────────────────────────────────────────────────────────────────────

    def put(self, name: str, document: Document | bytes, media_type: str | None = None) -> Digest:
        """Store a manifest under `repository:tag` and its digest (sha256 and sha512)."""
        body = document if isinstance(document, bytes) else encode(document)
        media_type = media_type or (document["mediaType"] if isinstance(document, dict) else "")
        repository, _, tag = name.partition(":")
        for reference in (tag, str(sha256(body)), str(sha512(body))):
            self.manifests[repository, reference] = (media_type, body)
        return sha256(body)

    def put_blob(self, repository: str, body: bytes) -> Digest:
        """Store a blob under its sha256."""
        self.blobs[repository, str(sha256(body))] = body
        return sha256(body)

    def reference(self, name: str) -> Reference:
        """`repository:tag` or `repository@digest` in this registry."""
        return parse_reference(f"{self.host}/{name}")

    def count(self, method: str) -> int:
        """How many requests for manifests came in by this method."""
        return sum(1 for seen in self.seen if seen.method == method and "/manifests/" in seen.path)

    def edit(self, edit: Edit) -> None:
        """Change replies to manifest requests from now on."""

        def only_manifests(seen: Seen, reply: Reply) -> Reply:
            return edit(seen, reply) if "/manifests/" in seen.path else reply

        self.edits.append(only_manifests)

    # ── answers ──────────────────────────────────────────────────────────────────────────────

    def answer(self, seen: Seen) -> Reply:
        """The honest reply, edited."""
        self.seen.append(seen)
        if seen.path == "/token":
            reply = self._token(seen)
        elif "/referrers/" in seen.path:
            reply = self._referrers(seen)
        elif "/blobs/" in seen.path:
            reply = self._blob(seen)
        elif seen.path.endswith("/tags/list"):
            reply = self._tags(seen)
        else:
            reply = self._manifest(seen)
        for edit in self.edits:
            reply = edit(seen, reply)
        return reply

    def _manifest(self, seen: Seen) -> Reply:
        repository, _, reference = seen.path.removeprefix("/v2/").partition("/manifests/")
        if (refused := self._refused(seen, repository)) is not None:
            return refused
        found = self.manifests.get((repository, reference))
        if found is None or found[0] not in seen.headers.get("accept", ""):
            return _error(404, "MANIFEST_UNKNOWN")
        media_type, body = found
        headers = {"Content-Type": media_type, "Docker-Content-Digest": str(sha256(body))}
        return Reply(200, headers, body)

    def _referrers(self, seen: Seen) -> Reply:
        repository, _, digest = seen.path.removeprefix("/v2/").partition("/referrers/")
        if (refused := self._refused(seen, repository)) is not None:
            return refused
        if self.referrers is None:
            return Reply(404, {"Content-Type": "text/plain"}, b"404 page not found\n")
        none: Document = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}
        found = self.referrers.get((repository, digest), none)
        return Reply(200, {"Content-Type": OCI_INDEX}, encode(found))

    def _blob(self, seen: Seen) -> Reply:
        repository, _, digest = seen.path.removeprefix("/v2/").partition("/blobs/")
        if (refused := self._refused(seen, repository)) is not None:
            return refused
        body = self.blobs.get((repository, digest))
        if body is None:
            return _error(404, "BLOB_UNKNOWN")
        headers = {"Content-Type": "application/octet-stream", "Docker-Content-Digest": digest}
        return Reply(200, headers, body)

    def _tags(self, seen: Seen) -> Reply:
        """As distribution 3 pages them: in the order of the text, with a link to the next page."""
        repository = seen.path.removeprefix("/v2/").removesuffix("/tags/list")
        if (refused := self._refused(seen, repository)) is not None:
            return refused
        found = {tag for (name, tag) in self.manifests if name == repository and ":" not in tag}
        if not found:
            return _error(404, "NAME_UNKNOWN")
        asked = int(seen.query["n"])
        size = min(asked, self.page or asked)
        after = sorted(tag for tag in found if tag > seen.query.get("last", ""))
        headers = {"Content-Type": "application/json"}
        if len(after) > size:
            target = f"{seen.path}?last={after[size - 1]}&n={size}"
            headers["Link"] = f'<{target}>; rel="next"'
        return Reply(200, headers, encode({"name": repository, "tags": after[:size]}))

    def _refused(self, seen: Seen, repository: str) -> Reply | None:
        auth = self.auth
        if auth is None:
            return None
        scheme, _, value = seen.headers.get("authorization", "").partition(" ")
        wanted = f"repository:{repository}:pull"
        if auth.basic:
            if scheme == "Basic" and _user_of(value, auth) is not None:
                return None
            challenge = 'Basic realm="fake"'
        else:
            if scheme == "Bearer" and auth.valid.get(value) == wanted:
                return None
            realm = auth.realm or f"{self.scheme}://{self.host}/token"
            challenge = f'Bearer realm="{realm}",service="fake",scope="{wanted}"'
        reply = _error(401, "UNAUTHORIZED")
        reply.headers["WWW-Authenticate"] = challenge
        return reply

    def _token(self, seen: Seen) -> Reply:
        auth = self.auth
        assert auth is not None
        if seen.method == "POST":
            form = {key: values[0] for key, values in parse_qs(seen.body.decode()).items()}
            known = form.get("refresh_token") in auth.identity_tokens
            scope = form.get("scope", "")
        else:
            given = seen.headers.get("authorization", "").removeprefix("Basic ")
            known = _user_of(given, auth) is not None if given else auth.anonymous
            scope = seen.query.get("scope", "")
        if not known:
            return _error(401, "UNAUTHORIZED")
        auth.issued += 1
        token = f"fake-token-{auth.issued}"
        auth.valid[token] = scope
        answer: Document = {"access_token" if seen.method == "POST" else "token": token}
        if auth.expires_in is not None:
            answer["expires_in"] = auth.expires_in
        return Reply(200, {"Content-Type": "application/json"}, encode(answer))


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], registry: FakeRegistry) -> None:
        self.registry = registry
        super().__init__(address, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        self.registry.connections += 1
        super().process_request(request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Head and body are two writes: the second would wait 40 ms for the first to be acknowledged.
    disable_nagle_algorithm = True
    server: _Server

    def log_message(self, *args: Any) -> None:
        """Say nothing."""

    def _serve(self) -> None:
        url = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self.rfile.read(int(headers.get("content-length", "0")))
        reply = self.server.registry.answer(Seen(self.command, url.path, query, headers, body))
        if reply.raw is not None:
            self._drip(reply.raw, reply.pause)
            self.close_connection = True
            return
        self.send_response_only(reply.status)  # without a date of its own
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if reply.length:
            self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        if reply.cut or not reply.length:
            self.close_connection = True
        if self.command != "HEAD":
            self._drip(reply.body[: len(reply.body) // 2] if reply.cut else reply.body, reply.pause)

    do_GET = do_HEAD = do_POST = _serve  # noqa: N815 - http.server looks them up by these names

    def _drip(self, body: bytes, pause: float) -> None:
        if not pause:
            self.wfile.write(body)
            return
        for byte in body:
            time.sleep(pause)
            self.wfile.write(bytes([byte]))


# ── documents ────────────────────────────────────────────────────────────────────────────────


def encode(document: Document) -> bytes:
    """A document's bytes, as pushed."""
    return json.dumps(document, indent=1).encode()


def sha256(body: bytes) -> Digest:
    """The digest, by code that is not the one under test."""
    return Digest(f"sha256:{hashlib.sha256(body).hexdigest()}")


def sha512(body: bytes) -> Digest:
    """The digest in the other registered algorithm."""
    return Digest(f"sha512:{hashlib.sha512(body).hexdigest()}")


def descriptor(body: bytes, media_type: str) -> Document:
    """What another document says of these bytes."""
    return {"mediaType": media_type, "digest": str(sha256(body)), "size": len(body)}


def manifest(name: str = "app", media_type: str = OCI_MANIFEST) -> Document:
    """An image manifest; `name` makes it differ from others."""
    config_type = OCI_CONFIG if media_type == OCI_MANIFEST else DOCKER_CONFIG
    return {
        "schemaVersion": 2,
        "mediaType": media_type,
        "config": descriptor(f"config of {name}".encode(), config_type),
        "layers": [descriptor(b"layer", "application/vnd.oci.image.layer.v1.tar+gzip")],
    }


def index(entries: dict[str, Document], media_type: str = OCI_INDEX) -> Document:
    """An index of manifests by `os/architecture[/variant]`."""
    listed = []
    for platform, document in entries.items():
        names = ("os", "architecture", "variant")
        entry = descriptor(encode(document), document["mediaType"])
        entry["platform"] = dict(zip(names, platform.split("/"), strict=False))
        listed.append(entry)
    return {"schemaVersion": 2, "mediaType": media_type, "manifests": listed}


def _user_of(pair: str, auth: Auth) -> str | None:
    username, _, password = base64.b64decode(pair).decode().partition(":")
    return username if auth.users.get(username) == password and password else None


def _error(status: int, code: str) -> Reply:
    body = encode({"errors": [{"code": code, "message": "free text that is not repeated"}]})
    return Reply(status, {"Content-Type": "application/json"}, body)
