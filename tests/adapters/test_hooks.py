from pathlib import Path

import pytest

from tests.adapters.scripts import run_for_user, script
from tests.fakes import digest
from webhook_launcher.adapters.hooks import HookRunner
from webhook_launcher.core.errors import HookError
from webhook_launcher.core.reference import parse_reference

REFERENCE = parse_reference(f"ghcr.io/acme/web:stable@{digest('A')}")


def run(*commands: tuple[str, ...], timeout: float = 30.0) -> None:
    """Run hooks of `web` before an update."""
    HookRunner(run_for_user).run(
        commands, timeout, workload="web", reference=REFERENCE, moment="before"
    )


def test_they_run_in_order(tmp_path: Path) -> None:
    """A backup comes before the migration."""
    out = tmp_path / "out"
    add = script(tmp_path, f'echo "$1" >> {out}')
    run((add, "one"), (add, "two"))
    assert out.read_text() == "one\ntwo\n"


def test_none_is_well() -> None:
    """Most workloads have none."""
    run()


def test_they_are_told_what_is_deployed(tmp_path: Path) -> None:
    """Pinned: a migration must run with exactly that image."""
    out = tmp_path / "out"
    path = script(tmp_path, f'echo "$LAUNCHER_HOOK $LAUNCHER_WORKLOAD $LAUNCHER_REFERENCE" > {out}')
    run((path,))
    assert out.read_text() == f"before web {REFERENCE}\n"
    assert f"@{digest('A')}" in out.read_text()


class TestOneThatFails:
    def test_stops_those_after_it(self, tmp_path: Path) -> None:
        """A migration without its backup must not begin."""
        out = tmp_path / "out"
        bad = script(tmp_path, "exit 7")
        with pytest.raises(HookError, match=r"hooks\.before .* exited with status 7"):
            run((bad,), (script(tmp_path, f"touch {out}"),))
        assert not out.exists()

    @pytest.mark.parametrize("where", ["", " >&2"])
    def test_is_quoted(self, tmp_path: Path, where: str) -> None:
        """The last of what it said, on whichever stream."""
        path = script(tmp_path, f"seq 1 1000{where}; echo no space left{where}; exit 1")
        with pytest.raises(HookError, match=r"no space left$") as raised:
            run((path,))
        assert len(str(raised.value)) < 1000

    def test_may_also_hang(self, tmp_path: Path) -> None:
        """It holds up its workload, so it has a limit."""
        with pytest.raises(HookError, match=r"did not end within 0\.2 s"):
            run((script(tmp_path, "sleep 60"),), timeout=0.2)

    def test_may_not_be_there(self) -> None:
        """Or not be executable."""
        with pytest.raises(HookError, match="/nowhere/hook"):
            run(("/nowhere/hook",))
