"""A launcher on a real socket, with a stand-in for its worker, and the command line in a test."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.builders import HMAC_KEY, Edge, WallClock, edge_in, serving
from webhook_launcher.cli import run


@dataclass
class Remote:
    """A served edge; what a test says to it, it says through the command line."""

    edge: Edge
    url: str
    key: Path
    token: Path


@dataclass
class Ended:
    """How a command ended and what it printed."""

    status: int
    out: str
    err: str


Command = Callable[..., Ended]


@pytest.fixture
def remote(tmp_path: Path) -> Iterator[Remote]:
    """Nothing settles its intents unless a test sets `edge.on_wake`."""
    key, token = tmp_path / "key", tmp_path / "token"
    key.write_text(HMAC_KEY + "\n")
    with edge_in(tmp_path, clock=WallClock()) as edge, serving(edge.app) as url:
        token.write_bytes((edge.settings.admin_token or b"") + b"\n")
        yield Remote(edge, url, key, token)


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs the command line; a usage error of argparse is an exit status like any other."""
    for name in ("LAUNCHER_CONFIG", "LAUNCHER_SIGNING_KEY"):
        monkeypatch.delenv(name, raising=False)

    def ended(*argv: str) -> Ended:
        capsys.readouterr()
        try:
            status = run(argv)
        except SystemExit as error:
            status = int(error.code or 0)
        told = capsys.readouterr()
        return Ended(status, told.out, told.err)

    return ended
