import os
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from tests.adapters.scripts import run_for_user, script
from tests.fakes import digest
from webhook_launcher.adapters.tracker import Tracker
from webhook_launcher.core.errors import LauncherError, RegistryUnavailableError, TrackError
from webhook_launcher.core.reference import Repository, parse_reference, parse_repository
from webhook_launcher.core.series import SemverTags, Series, parse_pattern
from webhook_launcher.core.versions import parse_range
from webhook_launcher.core.workload import ComposeProject, Track, TrackKind, Workload

A = digest("A")


@dataclass
class Tags:
    """A registry that lists these."""

    listed: list[str] = field(default_factory=list)
    down: LauncherError | None = None

    def tags(self, repository: Repository) -> list[str]:
        """All of them, of the one repository that is asked for."""
        assert str(repository) == "ghcr.io/acme/web"
        if self.down is not None:
            raise self.down
        return self.listed


TRACKER = Tracker(run_for_user, Tags())
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


class TestASeries:
    @pytest.mark.parametrize(
        ("kind", "series", "newest"),
        [
            (TrackKind.SEMVER, SemverTags(parse_range(">=1.2 <2")), "v1.10.0"),
            (TrackKind.PATTERN, parse_pattern("^main-[0-9]+$"), "main-10"),
            (TrackKind.PATTERN, parse_pattern(".*[0-9a-f](?:[.]sig)?"), "v2-1"),
        ],
    )
    def test_names_the_newest_tag_of_the_list(
        self, kind: TrackKind, series: Series, newest: str
    ) -> None:
        """By its own order; signatures are in the list as well and never run."""
        signatures = [f"sha256-{'f' * 64}.sig", f"sha256-{'f' * 64}"]
        tags = ["main-9", "main-10", "1.9.0", "v1.10.0", "v2-1", *signatures, "w"]
        follows = replace(WEB, track=Track(kind, series=series))
        found = Tracker(run_for_user, Tags(tags)).reference(follows)
        assert found == parse_reference(f"ghcr.io/acme/web:{newest}")

    def test_without_any_tag_is_told_and_tried_again(self) -> None:
        """The first release may not have been pushed yet."""
        series = SemverTags(parse_range("^3"))
        with pytest.raises(TrackError, match=r"none of the 2 tags .* is in `semver \^3`") as raised:
            Tracker(run_for_user, Tags(["1.0.0", "latest"])).reference(
                replace(WEB, track=Track(TrackKind.SEMVER, series=series))
            )
        assert raised.value.retryable

    def test_passes_on_that_the_registry_is_down(self) -> None:
        """As what it is: the poll then leaves that registry alone."""
        down = Tags(down=RegistryUnavailableError("no"))
        with pytest.raises(RegistryUnavailableError):
            Tracker(run_for_user, down).reference(
                replace(WEB, track=Track(TrackKind.PATTERN, series=parse_pattern("a")))
            )


class TestAFile:
    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        """Where another container writes."""
        return tmp_path / "wanted"

    @staticmethod
    def look(path: Path) -> str:
        """What is followed now."""
        return str(TRACKER.reference(replace(WEB, track=Track(TrackKind.FILE, path=path))))

    @pytest.mark.parametrize(
        ("text", "found"),
        [
            ("1.4.2", "ghcr.io/acme/web:1.4.2"),
            ("stable\n", "ghcr.io/acme/web:stable"),
            (f"{A}\r\n", f"ghcr.io/acme/web@{A}"),
            ("ghcr.io/acme/web:1.4.2", "ghcr.io/acme/web:1.4.2"),
            (f" ghcr.io/acme/web:1@{A}\n", f"ghcr.io/acme/web:1@{A}"),
            (f"ghcr.io/acme/web@{A}", f"ghcr.io/acme/web@{A}"),
        ],
    )
    def test_says_a_tag_a_digest_or_a_reference(self, path: Path, text: str, found: str) -> None:
        """Whatever the writer has at hand."""
        path.write_text(text)
        assert self.look(path) == found

    @pytest.mark.parametrize(
        ("text", "why"),
        [
            ("", "not one tag"),
            ("\n", "not one tag"),
            ("1.4.2 1.4.3", "not one tag"),
            ("1.4.2\n1.4.3", "not one tag"),
            ("a" * 129, "not one tag"),
            ("1" * 100_000, "not one tag"),
            ("é", "not one tag"),
            ("1.4\0", "not one tag"),
            ("-v", "not one tag"),
            ("sha256:abc", "not one tag"),
            ("https://ghcr.io/acme/web:1", "not one tag"),
            ("ghcr.io/evil/web:1", "not in ghcr.io/acme/web"),
            ("acme/web:1", "not in ghcr.io/acme/web"),
            ("ghcr.io/acme/web", "neither tag nor digest"),
        ],
    )
    def test_that_says_anything_else_is_refused(self, path: Path, text: str, why: str) -> None:
        """Another container writes it: what it may choose is a tag or digest of one repository."""
        path.write_text(text)
        with pytest.raises(TrackError, match=why) as raised:
            self.look(path)
        assert raised.value.retryable, "it may be half written"

    def test_that_is_not_there_yet_is_told(self, path: Path) -> None:
        """The other container may start later."""
        with pytest.raises(TrackError, match="No such file") as raised:
            self.look(path)
        assert raised.value.retryable

    def test_is_not_read_through_a_link(self, path: Path, tmp_path: Path) -> None:
        """Who may write beside it could point it at our secrets, and read them in the error."""
        (tmp_path / "admin").write_text("a-secret-token")
        path.symlink_to(tmp_path / "admin")
        with pytest.raises(TrackError, match="symbolic link"):
            self.look(path)

    def test_is_not_quoted(self, path: Path) -> None:
        """A hard link could still point it at a file of ours."""
        path.write_text("password: hunter2!")
        with pytest.raises(TrackError) as raised:
            self.look(path)
        assert "hunter2" not in f"{raised.value}{raised.value.advice()}{raised.value.__cause__}"

    def test_that_is_a_pipe_does_not_hold_us(self, path: Path) -> None:
        """Opening one that nobody writes to would wait for ever, and the other lanes with it."""
        os.mkfifo(path)
        with pytest.raises(TrackError, match="not a regular file"):
            self.look(path)

    def test_that_is_a_directory_is_told(self, path: Path) -> None:
        """Docker makes one of a bind mount whose source is not there."""
        path.mkdir()
        with pytest.raises(TrackError, match=r"directory|regular"):
            self.look(path)
