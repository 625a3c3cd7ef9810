"""The user's own check of an image: what it is given, and what counts as its answer."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from tests.adapters.scripts import script
from tests.fakes import PLATFORM, digest, image_of
from webhook_launcher.adapters.checks import CheckRunner
from webhook_launcher.adapters.command import Finished, run
from webhook_launcher.core.errors import CommandNotFoundError, CommandTimeoutError
from webhook_launcher.core.evidence import Answer, Check, Facts
from webhook_launcher.core.reference import parse_reference

IMAGE = image_of(parse_reference("ghcr.io/acme/web:stable"), digest("A"))
FACTS = Facts(b'{"layers": [\n]}', {}, 1, PLATFORM)


def as_the_service_does(
    argv: Sequence[str], seconds: float, extra: Mapping[str, str], stdin: bytes
) -> Finished:
    """As `app` runs it."""
    return run(argv, timeout=seconds, env={**os.environ, **extra}, stdin=stdin, grace=0.2)


def ask(program: str, timeout: float = 30.0) -> Answer:
    """Its answer for IMAGE."""
    check = Check((program,), timeout)
    return CheckRunner(as_the_service_does).run(check, "web", IMAGE, FACTS)


def test_it_is_given_the_pinned_reference_and_the_manifest(tmp_path: Path) -> None:
    """By digest: a check of the tag could be of another image than the one that runs."""
    given = tmp_path / "given"
    assert ask(script(tmp_path, f"cat > {given}")) == Answer(0, "")
    assert given.read_bytes() == IMAGE.pinned.encode() + b"\n" + FACTS.manifest


def test_it_is_told_what_it_is_about(tmp_path: Path) -> None:
    """One script may serve several workloads."""
    answer = ask(script(tmp_path, 'echo "$LAUNCHER_WORKLOAD $LAUNCHER_REFERENCE"'))
    assert answer.said == f"web {IMAGE.pinned}"


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ("echo one; echo two", 0, "two"),
        ("echo found 3 >&2; exit 1", 1, "found 3"),
        ("echo out; echo err >&2; exit 7", 7, "out"),
        ("printf 'a\\033[2Jb\\n'", 0, "a?[2Jb"),
        ("printf '%0300d' 1", 0, "0" * 200),
        ("printf '\\377'", 0, "\ufffd"),
        ("kill -9 $$", -9, ""),
    ],
)
def test_its_status_and_its_last_line_are_the_answer(
    body: str, status: int, said: str, tmp_path: Path
) -> None:
    """They are shown to people and kept: bounded, and nothing in them obeys a terminal."""
    assert ask(script(tmp_path, body)) == Answer(status, said)


def test_one_that_does_not_end_gives_no_answer(tmp_path: Path) -> None:
    """And no answer admits nothing."""
    with pytest.raises(CommandTimeoutError):
        ask(script(tmp_path, "sleep 60"), timeout=0.2)


def test_one_that_is_not_there_gives_no_answer() -> None:
    """A scanner that was never installed has found nothing."""
    with pytest.raises(CommandNotFoundError):
        ask("/nowhere/scan")


def test_one_that_reads_nothing_is_well(tmp_path: Path) -> None:
    """A large manifest and a closed pipe are no fault of the image."""
    large = Facts(b"x" * 300_000, {}, 1, PLATFORM)
    check = Check((script(tmp_path, "exec <&-; echo fine"),))
    assert CheckRunner(as_the_service_does).run(check, "web", IMAGE, large).said == "fine"
