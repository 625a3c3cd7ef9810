"""What a registry may cost: time, memory, and where our requests may go."""

import gzip
import socket
import threading
import time
import traceback
import tracemalloc
from collections.abc import Callable, Iterator

import pytest

from tests.adapters.registry.conftest import Clock, MakeClient, look
from tests.adapters.registry.fake import (
    OCI_MANIFEST,
    Auth,
    FakeRegistry,
    Reply,
    Seen,
    encode,
    index,
    manifest,
)
from webhook_launcher.adapters.registry import RegistryClient, RegistrySettings, Timeouts
from webhook_launcher.adapters.registry.transport import Deadline, Transport
from webhook_launcher.core.errors import RegistryError, RegistryUnavailableError
from webhook_launcher.core.model import Platform
from webhook_launcher.core.reference import parse_reference

AMD64 = Platform("linux", "amd64")
STABLE = "acme/web:stable"
MIB = 1024 * 1024


@pytest.fixture
def silent() -> Iterator[str]:
    """A host that accepts connections (the kernel does) and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def most_memory() -> Iterator[Callable[[], int]]:
    """The most bytes that were allocated at once since the last call."""

    def peak() -> int:
        found = tracemalloc.get_traced_memory()[1] - before[0]
        tracemalloc.reset_peak()
        before[0] = tracemalloc.get_traced_memory()[0]
        return found

    tracemalloc.start()
    before = [0]
    yield peak
    tracemalloc.stop()


def test_manifest_of_exactly_4_mib_is_read(registry: FakeRegistry, client: RegistryClient) -> None:
    """The distribution-spec's limit is what registries accept: legal, one byte more is not."""
    body = encode(manifest())
    padded = body + b" " * (4 * MIB - len(body))
    digest = registry.put(STABLE, padded, OCI_MANIFEST)
    assert client.image(registry.reference(STABLE), AMD64).digest == digest


@pytest.mark.parametrize("declared", [True, False])
def test_larger_manifest_is_refused(
    registry: FakeRegistry, client: RegistryClient, declared: bool
) -> None:
    """Memory is bounded by what arrives, not by what a header promises."""
    registry.put(STABLE, encode(manifest()).ljust(4 * MIB + 1), OCI_MANIFEST)

    def undeclared(_: Seen, reply: Reply) -> Reply:
        reply.length = declared
        return reply

    registry.edit(undeclared)
    with pytest.raises(RegistryError, match="more than 4194304 bytes") as caught:
        client.image(registry.reference(STABLE), AMD64)
    assert not caught.value.retryable


def test_endless_body_is_left_early(
    registry: FakeRegistry, client: RegistryClient, most_memory: Callable[[], int]
) -> None:
    """Endless data (TUF's word): a chunked body has no declared end, so ours must be enforced."""
    chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {OCI_MANIFEST}\r\nTransfer-Encoding: chunked\r\n\r\n"
    endless = Reply(raw=head.encode() + chunk * 1000)
    registry.edit(lambda _, reply: endless)
    most_memory()
    with pytest.raises(RegistryError, match="more than 4194304 bytes"):
        client.image(registry.reference(STABLE), AMD64)
    assert most_memory() < 16 * MIB


@pytest.mark.parametrize("piece", [b"a", b"1;" + b"x" * 1024], ids=["no line end", "extension"])
def test_endless_chunk_size_is_left_early(
    registry: FakeRegistry,
    client: RegistryClient,
    piece: bytes,
    most_memory: Callable[[], int],
) -> None:
    """The HTTP library reads a chunk's size as a line of any length: memory is bounded below it."""
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {OCI_MANIFEST}\r\nTransfer-Encoding: chunked\r\n\r\n"
    endless = Reply(raw=head.encode() + piece * (64 * MIB // len(piece)))
    registry.edit(lambda _, reply: endless)
    most_memory()
    with pytest.raises(RegistryUnavailableError):
        client.image(registry.reference(STABLE), AMD64)
    assert most_memory() < 32 * MIB


def test_encoded_body_is_refused_before_it_is_decoded(
    registry: FakeRegistry, client: RegistryClient, most_memory: Callable[[], int]
) -> None:
    """We ask for no encoding: a gzip bomb is a surprise that nobody needs to unpack."""
    bomb = gzip.compress(b" " * 64 * MIB)

    def encoded(_: Seen, reply: Reply) -> Reply:
        return Reply(200, reply.headers | {"Content-Encoding": "gzip"}, bomb)

    registry.put(STABLE, manifest())
    registry.edit(encoded)
    most_memory()
    with pytest.raises(RegistryError, match="gzip"):
        client.image(registry.reference(STABLE), AMD64)
    assert most_memory() < 4 * MIB


def test_encoded_refusal_is_still_that_refusal(
    registry: FakeRegistry, client: RegistryClient, most_memory: Callable[[], int]
) -> None:
    """Proxies compress their own error pages: the status counts, their body is not unpacked."""
    bomb = gzip.compress(b" " * 64 * MIB)
    registry.edit(lambda _, reply: Reply(503, {"Content-Encoding": "gzip"}, bomb))
    most_memory()
    with pytest.raises(RegistryUnavailableError, match="503"):
        client.image(registry.reference(STABLE), AMD64)
    assert most_memory() < 4 * MIB


@pytest.mark.parametrize("where", ["body", "status line", "headers", "chunk sizes"])
def test_slow_drip_is_cut_off(registry: FakeRegistry, make_client: MakeClient, where: str) -> None:
    """A socket's time limit starts anew with each byte: a drip would hold a worker for days."""
    client = make_client(timeouts=Timeouts(connect=2, response=0.3, total=5))
    registry.put(STABLE, manifest())
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {OCI_MANIFEST}\r\n"
    raw = {
        "status line": "HTTP/1.1 200 " + "O" * 1000,
        "headers": head + "X-Slow: " + "x" * 1000,
        "chunk sizes": head + "Transfer-Encoding: chunked\r\n\r\n" + "1\r\n \r\n" * 1000,
    }.get(where)

    def drip(_: Seen, reply: Reply) -> Reply:
        reply.pause = 0.02
        reply.raw = raw.encode() if raw else None
        return reply

    registry.edit(drip)
    began = time.monotonic()
    with pytest.raises(RegistryUnavailableError, match="not answer in time"):
        client.image(registry.reference(STABLE), AMD64)
    assert time.monotonic() - began < 2


def test_stall_after_a_drip_does_not_begin_a_new_wait(make_client: MakeClient) -> None:
    """The limit is for the whole response: the next byte may take what is left of it, no more."""
    client = make_client(timeouts=Timeouts(connect=2, response=1, total=5))
    with socket.create_server(("127.0.0.1", 0)) as server:
        waited: list[float] = []

        def one_late_byte() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                time.sleep(0.8)
                connection.sendall(b"H")
                sent = time.monotonic()
                connection.recv(1)  # until the client hangs up
                waited.append(time.monotonic() - sent)

        thread = threading.Thread(target=one_late_byte)
        thread.start()
        with pytest.raises(RegistryUnavailableError, match="in time"):
            client.head(parse_reference(f"127.0.0.1:{server.getsockname()[1]}/{STABLE}"))
        thread.join()
    # From the byte on 0.2 s are left; a new wait would be a whole second.
    assert waited[0] < 0.9


def test_one_response_may_take_no_longer_than_what_is_left_of_all(
    registry: FakeRegistry, make_client: MakeClient
) -> None:
    """Otherwise the last request of a look could add its own whole limit to the total."""
    client = make_client(timeouts=Timeouts(connect=2, response=5, total=0.3))
    registry.put(STABLE, manifest())

    def drip(_: Seen, reply: Reply) -> Reply:
        reply.pause = 0.02
        return reply

    registry.edit(drip)
    began = time.monotonic()
    with pytest.raises(RegistryUnavailableError, match="in time"):
        client.image(registry.reference(STABLE), AMD64)
    assert time.monotonic() - began < 2


def test_endless_interim_responses_are_left_early(
    registry: FakeRegistry, make_client: MakeClient
) -> None:
    """The HTTP library skips any number of `100 Continue`: the bytes of a response are counted."""
    # Much time: on a busy machine it would be up before the bytes are.
    client = make_client(timeouts=Timeouts(connect=60, response=60, total=60))
    endless = Reply(raw=b"HTTP/1.1 100 Continue\r\n\r\n" * 1_000_000)
    registry.edit(lambda _, reply: endless)
    with pytest.raises(RegistryUnavailableError, match="without end"):
        client.image(registry.reference(STABLE), AMD64)


def test_every_error_of_the_http_library_becomes_ours() -> None:
    """urllib3 lets some of its own pass requests, such as for a name with too long a part."""
    transport = Transport(Timeouts())
    deadline = Deadline(time.monotonic, 5)
    with pytest.raises(RegistryUnavailableError):
        transport.send("GET", f"http://{'a' * 64}.invalid/", {}, deadline=deadline, limit=1)
    transport.close()


def test_silent_registry_is_given_up(silent: str, make_client: MakeClient) -> None:
    """A host that accepts and says nothing is the commonest outage behind a load balancer."""
    client = make_client(timeouts=Timeouts(connect=2, response=0.2, total=5))
    fake = FakeRegistry()
    fake.close()
    fake.host = silent
    with pytest.raises(RegistryUnavailableError, match="in time") as caught:
        client.head(fake.reference(STABLE))
    assert caught.value.retryable


def test_all_requests_together_have_one_deadline(
    registry: FakeRegistry, make_client: MakeClient, clock: Clock
) -> None:
    """Each answer may keep its own limit and the look still never end: index, token, manifest."""
    client = make_client(timeouts=Timeouts(connect=2, response=2, total=30))
    document = manifest()
    registry.put("acme/web:amd64", document)
    registry.put(STABLE, index({"linux/amd64": document}))

    def late(_: Seen, reply: Reply) -> Reply:
        clock.time += 31
        return reply

    registry.edit(late)
    with pytest.raises(RegistryUnavailableError, match="in time"):
        client.image(registry.reference(STABLE), AMD64)
    assert len(registry.seen) == 1


def test_patience_does_not_shorten_the_deadline(
    registry: FakeRegistry, make_client: MakeClient, clock: Clock
) -> None:
    """Waiting for a manifest to appear is not the registry being slow."""
    client = make_client(timeouts=Timeouts(connect=2, response=2, total=1))

    def appear(_: Seen, reply: Reply) -> Reply:
        if clock.time > 1008:
            registry.put(STABLE, manifest())
        return reply

    registry.edit(appear)
    client.image(registry.reference(STABLE), AMD64, patience=10)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("method", ["head", "image"])
def test_redirect_of_a_manifest_is_not_followed(
    registry: FakeRegistry, other: FakeRegistry, make_client: MakeClient, status: int, method: str
) -> None:
    """A redirect chooses another host than the operator did, and would take the token along."""
    client = make_client(RegistrySettings(registry.host, username="u", password="p"))
    other.put(STABLE, manifest())
    target = f"http://{other.host}/v2/acme/web/manifests/stable"
    registry.edit(lambda _, reply: Reply(status, {"Location": target}))
    with pytest.raises(RegistryError, match=f"{status}.*redirect"):
        look(client, method, registry.reference(STABLE))
    assert other.seen == []


def test_environment_decides_nothing(
    registry: FakeRegistry,
    other: FakeRegistry,
    client: RegistryClient,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Proxies, netrc and certificates of the environment are how requests surprises its users."""
    home = tmp_path_factory.mktemp("home")
    (home / ".netrc").write_text("machine 127.0.0.1 login netrc-user password netrc-password\n")
    (home / ".netrc").chmod(0o600)
    monkeypatch.setenv("HOME", str(home))
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, f"http://{other.host}")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    registry.put(STABLE, manifest())
    client.image(registry.reference(STABLE), AMD64)
    assert other.seen == []
    assert "authorization" not in registry.seen[0].headers


def test_cookies_are_not_kept(registry: FakeRegistry, client: RegistryClient) -> None:
    """Every request stands alone: what one answer sets must not change the next one."""
    registry.put(STABLE, manifest())

    def set_cookie(_: Seen, reply: Reply) -> Reply:
        reply.headers["Set-Cookie"] = "session=1; Path=/"
        return reply

    registry.edit(set_cookie)
    client.head(registry.reference(STABLE))
    client.head(registry.reference(STABLE))
    assert all("cookie" not in seen.headers for seen in registry.seen)


def test_connection_is_used_again(registry: FakeRegistry, client: RegistryClient) -> None:
    """A connection (and its TLS handshake) per request would double what a deploy waits for."""
    document = manifest()
    registry.put("acme/web:amd64", document)
    registry.put(STABLE, index({"linux/amd64": document}))
    registry.auth = Auth(anonymous=True)
    for _ in range(3):
        client.head(registry.reference(STABLE))
        client.image(registry.reference(STABLE), AMD64)
    assert len(registry.seen) == 3 * 3 + 2
    assert registry.connections == 1


def test_connection_that_the_server_closed_meanwhile_is_replaced(
    registry: FakeRegistry, client: RegistryClient
) -> None:
    """Between two polls servers drop idle connections; that must not count as an outage."""
    digest = registry.put(STABLE, manifest())
    client.head(registry.reference(STABLE))
    hung_up: list[bool] = []

    def hang_up_once(_: Seen, reply: Reply) -> Reply:
        if not hung_up:
            hung_up.append(True)
            return Reply(raw=b"")
        return reply

    registry.edit(hang_up_once)
    assert client.head(registry.reference(STABLE)) == digest


def test_registry_that_always_hangs_up_is_asked_twice(
    registry: FakeRegistry, client: RegistryClient
) -> None:
    """The repeat is for an idle connection, not a retry loop: that is the worker's."""
    registry.edit(lambda _, reply: Reply(raw=b""))
    with pytest.raises(RegistryUnavailableError):
        client.head(registry.reference(STABLE))
    assert len(registry.seen) == 2


@pytest.mark.parametrize(
    "raw",
    [
        b"not HTTP at all\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 99999 OK\r\n\r\n",
    ],
    ids=["no HTTP", "many headers", "truncated", "bad chunk", "long header", "odd status"],
)
def test_broken_http_is_an_outage(
    registry: FakeRegistry, client: RegistryClient, raw: bytes
) -> None:
    """Whatever the HTTP library makes of it, callers see one of our errors, with a next try."""
    registry.edit(lambda _, reply: Reply(raw=raw))
    with pytest.raises(RegistryUnavailableError) as caught:
        client.image(registry.reference(STABLE), AMD64)
    assert caught.value.retryable


def test_body_cut_in_the_middle_is_an_outage(
    registry: FakeRegistry, client: RegistryClient
) -> None:
    """Half a manifest is not a wrong digest: the publisher is not to blame, the next try may do."""
    registry.put(STABLE, manifest())

    def cut(_: Seen, reply: Reply) -> Reply:
        reply.cut = True
        return reply

    registry.edit(cut)
    with pytest.raises(RegistryUnavailableError):
        client.image(registry.reference(STABLE), AMD64)


def test_refused_connection_and_unknown_name_say_why(client: RegistryClient) -> None:
    """The operator must see at once whether the registry is down or its name is wrong."""
    fake = FakeRegistry()
    fake.close()
    with pytest.raises(RegistryUnavailableError, match=f"{fake.host} cannot be reached: .*refused"):
        client.head(fake.reference(STABLE))
    fake.host = "registry.invalid"  # RFC 6761: never resolves
    with pytest.raises(RegistryUnavailableError, match=r"registry\.invalid cannot be reached: \S"):
        client.head(fake.reference(STABLE))


@pytest.mark.parametrize("host", [f"{'a' * 63}.invalid", "[::::]:5", "[1:2]", "[fe80::1]:5000"])
def test_odd_hosts_are_outages_too(client: RegistryClient, host: str) -> None:
    """What the grammar lets through and no network has must not escape as a ValueError."""
    with pytest.raises(RegistryUnavailableError):
        client.head(parse_reference(f"{host}/{STABLE}"))


def test_threads_share_a_client(registry: FakeRegistry, client: RegistryClient) -> None:
    """Workloads are deployed in parallel with one client: answers must not be mixed up."""
    names = [f"acme/web{number}" for number in range(8)]
    digests = {name: registry.put(f"{name}:stable", manifest(name)) for name in names}
    registry.auth = Auth(anonymous=True)
    wrong: list[str] = []

    def look(name: str) -> None:
        for _ in range(20):
            image = client.image(registry.reference(f"{name}:stable"), AMD64)
            if image.digest != digests[name]:
                wrong.append(name)

    threads = [threading.Thread(target=look, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert registry.count("GET") == 8 * 20 + 8
    assert registry.connections <= 16


def test_closed_client_may_still_be_asked(registry: FakeRegistry, client: RegistryClient) -> None:
    """At shutdown a worker may finish its step after close(): it must not meet a strange error."""
    digest = registry.put(STABLE, manifest())
    client.close()
    assert client.head(registry.reference(STABLE)) == digest


def test_no_secret_in_any_failure(
    registry: FakeRegistry, other: FakeRegistry, make_client: MakeClient
) -> None:
    """Errors end up in logs, on the page and in receipts, with everything they were caused by."""
    settings = RegistrySettings(registry.host, username="robot", password="s3cret-password")
    registry.auth = Auth(users={"robot": "s3cret-password"})
    registry.put(STABLE, manifest())
    client = make_client(settings, timeouts=Timeouts(connect=2, response=0.2, total=5))
    client.head(registry.reference(STABLE))
    token = next(iter(registry.auth.valid))
    failures = [
        Reply(401),
        Reply(403, body=b"s3cret-password"),
        Reply(429),
        Reply(503),
        Reply(302, {"Location": f"http://{other.host}/?token={token}"}),
        Reply(raw=b"nonsense"),
        Reply(200, {"Content-Encoding": "gzip"}, b"x"),
        Reply(200, {"Content-Type": OCI_MANIFEST}, b"x" * 100, pause=0.05),
    ]
    texts = [repr(settings), repr(client)]
    for failure in failures:
        registry.edits.clear()
        registry.edit(lambda _, reply, failure=failure: failure)  # type: ignore[misc]
        with pytest.raises(RegistryError) as caught:
            client.image(registry.reference(STABLE), AMD64)
        texts += [*traceback.format_exception(caught.value), caught.value.advice()]
    assert len(texts) > len(failures)
    basic = "cm9ib3Q6czNjcmV0LXBhc3N3b3Jk"
    assert not [t for t in texts if "s3cret-password" in t or token in t or basic in t]
