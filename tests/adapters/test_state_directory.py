"""The state directory, tried out."""

import os
from pathlib import Path

import pytest

from webhook_launcher.adapters.state_directory import _remote, try_out
from webhook_launcher.core.errors import JournalError


def test_a_good_directory_is_left_as_it_was(tmp_path: Path) -> None:
    """Doctor runs beside a launcher, whose directory this is."""
    (tmp_path / "journal.sqlite").touch()
    found = try_out(tmp_path)
    assert found.ours
    assert found.owner == os.geteuid()
    assert found.free > 0
    assert found.sync_seconds > 0
    assert [one.name for one in tmp_path.iterdir()] == ["journal.sqlite"]


def test_a_directory_that_is_not_there_yet_is_not_made(tmp_path: Path) -> None:
    """Made by the wrong user it would be in the launcher's way."""
    assert try_out(tmp_path / "not" / "yet").ours
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_directory_cannot_be_used(tmp_path: Path) -> None:
    """The system's own words, and what to do."""
    (tmp_path / "file").touch()
    with pytest.raises(JournalError, match="cannot write to the state directory") as raised:
        try_out(tmp_path / "file")
    assert "0700" in raised.value.advice()


@pytest.mark.parametrize(
    ("path", "kind"),
    [("/var/lib/launcher", "nfs4"), ("/var/lib/launcher/local/x", None), ("/var", None)],
)
def test_a_remote_file_system_is_told_by_the_nearest_mount(
    tmp_path: Path, path: str, kind: str | None
) -> None:
    """SQLite's locks hold on local disks."""
    mountinfo = tmp_path / "mountinfo"
    mountinfo.write_text(
        "1 0 8:1 / / rw - ext4 /dev/x rw\n"
        "2 1 0:5 / /var/lib/launcher rw shared:1 - nfs4 server:/x rw\n"
        "3 2 8:2 / /var/lib/launcher/local rw - xfs /dev/y rw\n"
    )
    assert _remote(Path(path), mountinfo) == kind
