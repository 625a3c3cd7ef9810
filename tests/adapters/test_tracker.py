from dataclasses import replace
from pathlib import Path

import pytest

from tests.adapters.scripts import run_for_user, script
from tests.fakes import digest
from webhook_launcher.adapters.tracker import Tracker
from webhook_launcher.core.errors import TrackError
from webhook_launcher.core.reference import parse_reference, parse_repository
from webhook_launcher.core.workload import ComposeProject, Track, TrackKind, Workload

A = digest("A")
TRACKER = Tracker(run_for_user)
WEB = Workload(
    "web",
    parse_repository("ghcr.io/acme/web"),
    Track(TrackKind.TAG, "stable"),
    ComposeProject("web", Path("/srv")),
)


def follows(*argv: str, timeout: float = 30.0) -> Workload:
    """A workload with a command."""
    return replace(WEB, track=Track(TrackKind.COMMAND, argv=argv, timeout=timeout))


def test_a_tag_is_known_without_asking() -> None:
    """And `none` has no reference."""
    assert TRACKER.reference(WEB) == parse_reference("ghcr.io/acme/web:stable")
    assert TRACKER.reference(replace(WEB, track=Track(TrackKind.NONE))) is None


class TestACommand:
    @pytest.mark.parametrize(
        "text", ["ghcr.io/acme/web:1.2", f"ghcr.io/acme/web@{A}", f"ghcr.io/acme/web:1@{A}"]
    )
    def test_prints_a_reference(self, tmp_path: Path, text: str) -> None:
        """One line, with or without its end."""
        for body in (f"echo {text}", f"printf '%s' {text}", f"printf '\\n %s \\n\\n' {text}"):
            found = TRACKER.reference(follows(script(tmp_path, body)))
            assert found == parse_reference(text)

    def test_may_write_it_to_its_last_argument(self, tmp_path: Path) -> None:
        """The seed's get-latest script does, and talks on standard output meanwhile."""
        path = script(tmp_path, 'echo looking; echo ghcr.io/acme/web:$1 > "$2"')
        assert TRACKER.reference(follows(path, "7")) == parse_reference("ghcr.io/acme/web:7")

    def test_leaves_no_file_behind(self, tmp_path: Path) -> None:
        """It is run every few seconds for years."""
        path = script(tmp_path, f'echo "$1" > {tmp_path}/where; echo ghcr.io/acme/web:1')
        TRACKER.reference(follows(path))
        assert not Path((tmp_path / "where").read_text().strip()).parent.exists()

    def test_knows_which_workload_it_is_for(self, tmp_path: Path) -> None:
        """One script may serve several, and has our environment."""
        path = script(tmp_path, 'test -n "$PATH" && echo ghcr.io/acme/web:$LAUNCHER_WORKLOAD')
        assert TRACKER.reference(follows(path)) == parse_reference("ghcr.io/acme/web:web")

    @pytest.mark.parametrize(
        ("body", "why"),
        [
            ("exit 3", "exited with status 3"),
            ("echo ghcr.io/acme/web:1; exit 1", "exited with status 1"),
            ("true", "exactly one reference"),
            ("echo ghcr.io/acme/web:1 ghcr.io/acme/web:2", "exactly one reference"),
            ("echo ghcr.io/acme/web:1; echo ghcr.io/acme/web:2", "exactly one reference"),
            ("echo 'ghcr.io/acme/web:1 --privileged'", "exactly one reference"),
            ("printf 'ghcr.io/acme/web:1\\0'", "exactly one reference"),
            ("printf 'ghcr.io/acme/w\\303\\251b:1'", "exactly one reference"),
            ("head -c 100000 /dev/zero", "exactly one reference"),
            ("echo ghcr.io/evil/web:1", "not in ghcr.io/acme/web"),
            ("echo acme/web:1", "not in ghcr.io/acme/web"),
            ("echo ghcr.io/acme/web", "neither tag nor digest"),
            ('head -c 5000 /dev/zero > "$1"; echo ghcr.io/acme/web:1', "exactly one reference"),
        ],
    )
    def test_that_gives_anything_else_is_refused(self, tmp_path: Path, body: str, why: str) -> None:
        """What it prints becomes what runs: anything but one reference would be injection."""
        with pytest.raises(TrackError, match=why) as raised:
            TRACKER.reference(follows(script(tmp_path, body)))
        assert raised.value.retryable
        assert len(str(raised.value)) < 1000

    def test_that_hangs_is_ended(self, tmp_path: Path) -> None:
        """The poll looks at the other workloads too."""
        path = script(tmp_path, "sleep 60")
        with pytest.raises(TrackError, match=r"did not end within 0\.2 s"):
            TRACKER.reference(follows(path, timeout=0.2))

    def test_that_is_not_there_is_told(self) -> None:
        """By its name."""
        with pytest.raises(TrackError, match="/nowhere/latest"):
            TRACKER.reference(follows("/nowhere/latest"))

    def test_is_no_shell(self, tmp_path: Path) -> None:
        """Arguments are arguments."""
        path = script(tmp_path, 'test "$1" = "; rm -rf /" && echo ghcr.io/acme/web:1')
        assert TRACKER.reference(follows(path, "; rm -rf /")) is not None
