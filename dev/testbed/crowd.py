"""An engine and a hundred registries that answer at once, in one process of their own.

To measure the launcher alone, with as many workloads as nobody has images or memory for. The
engine says of every compose project that its one service runs the image that the registries have
under every tag. A registry may be a black hole: it accepts and never answers.

`python3 dev/testbed/crowd.py SOCKET PORT COUNT HOLES` runs until it is ended; `crowd` starts it.
"""

import asyncio
import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

# Any image will do: nobody pulls it.
DIGEST = "sha256:" + "5" * 64
SERVICE = "app"
_TYPE = "application/vnd.oci.image.manifest.v1+json"
_START_SECONDS = 10


def host_of(number: int, port: int) -> str:
    """The address of one of the registries, on the loopback."""
    return f"127.9.{number // 250}.{number % 250 + 1}:{port}"


@dataclass
class Crowd:
    """How to find what runs: the engine's socket, and the registries by number."""

    socket: Path
    port: int
    count: int

    def registry(self, number: int) -> str:
        """The host of a registry; numbers beyond the last begin anew."""
        return host_of(number % self.count, self.port)


@contextmanager
def crowd(directory: Path, port: int, count: int, holes: int = 0) -> Iterator[Crowd]:
    """Run one for a block. The last `holes` of the registries are black holes."""
    made = Crowd(directory / "engine.sock", port, count)
    argv = [sys.executable, __file__, str(made.socket), str(port), str(count), str(holes)]
    running = subprocess.Popen(argv, stdin=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + _START_SECONDS
        while not made.socket.exists():
            if running.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("the crowd of registries does not come up")
            time.sleep(0.02)
        yield made
    finally:
        running.terminate()
        running.wait(10)


async def _serve(socket: Path, port: int, count: int, holes: int) -> None:
    servers = [
        await asyncio.start_server(
            _hole if number >= count - holes else _registry,
            host_of(number, port).split(":")[0],
            port,
        )
        for number in range(count)
    ]
    # Last: whoever sees the socket may go on.
    servers.append(await asyncio.start_unix_server(_engine, str(socket)))
    await asyncio.gather(*(server.serve_forever() for server in servers))


async def _hole(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    while await reader.read(65536):
        continue


async def _registry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    headers = f"Content-Type: {_TYPE}\r\nDocker-Content-Digest: {DIGEST}\r\n"
    async for _ in _requests(reader):
        writer.write(f"HTTP/1.1 200 OK\r\n{headers}Content-Length: 0\r\n\r\n".encode())
    writer.close()


async def _engine(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    async for target in _requests(reader):
        body = json.dumps(_said(target)).encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
        writer.write(f"{head}\r\n\r\n".encode() + body)
    writer.close()


async def _requests(reader: asyncio.StreamReader) -> "asyncio.AsyncIterator[str]":  # type: ignore[name-defined]
    """The targets of the requests on a connection; none has a body."""
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            yield head.split(b" ", 2)[1].decode()


def _said(target: str) -> object:
    parts = urlsplit(target)
    words = unquote(parts.path).strip("/").split("/")
    if words[-1] == "version":
        return {"ApiVersion": "1.41", "Version": "crowd", "Os": "linux", "Arch": "amd64"}
    if words[-1] == "info":
        return {"Driver": "none", "OperatingSystem": "none", "KernelVersion": "none"}
    if words[-2:] == ["containers", "json"]:
        labels = json.loads(parse_qs(parts.query)["filters"][0])["label"]
        return [{"Id": labels[0].partition("=")[2], "Labels": _labels()}]
    if words[-1] == "json":
        return _container(words[-2])
    return "OK"


def _labels() -> dict[str, str]:
    return {"com.docker.compose.service": SERVICE, "com.docker.compose.container-number": "1"}


def _container(name: str) -> dict[str, object]:
    return {
        "Id": name,
        "Name": f"/{name}",
        "Image": DIGEST,
        "State": {"Status": "running", "ExitCode": 0, "StartedAt": "2026-01-01T00:00:00Z"},
        "Config": {"Image": DIGEST, "Labels": _labels()},
    }


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1]), *(int(word) for word in sys.argv[2:5])))
