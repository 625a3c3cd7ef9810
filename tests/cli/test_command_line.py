"""The command line as a user meets it: help, check, keygen, and how errors look."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.builders import CONFIGURATION, LEFT_OUT, changed
from tests.cli.conftest import Command
from webhook_launcher import __version__

COMMANDS = (
    *("serve", "check", "status", "history", "deploy", "rollback", "pause", "resume"),
    *("keygen", "send", "doctor"),
)


def launcher(*argv: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """In a process of its own, as from a shell."""
    return subprocess.run(
        [sys.executable, "-m", "webhook_launcher", *argv],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "COLUMNS": "100", **environment},
    )


def written(directory: Path, **changes: object) -> str:
    """A configuration file with changes."""
    file = directory / "config.yml"
    paths = {name.replace("__", "."): value for name, value in changes.items()}
    file.write_text(json.dumps(changed(CONFIGURATION, paths)))
    return str(file)


def test_help_lists_every_command_and_exit_status() -> None:
    """The first thing that anybody types."""
    ended = launcher("--help")
    assert ended.returncode == 0
    for name in COMMANDS:
        assert re.search(rf"^    {name}  +\w", ended.stdout, re.MULTILINE)
    assert "78 configuration" in ended.stdout
    assert "check --config" in ended.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_and_takes_json(command: Command, name: str) -> None:
    """The contract: all take --json."""
    ended = command(name, "--help")
    assert ended.status == 0
    assert "--json" in ended.out


def test_the_version_is_told(command: Command) -> None:
    """For bug reports."""
    assert command("--version").out == f"webhook-launcher {__version__}\n"


@pytest.mark.parametrize("argv", [[], ["unknown"], ["status", "--nope"], ["deploy"]])
def test_a_wrong_call_is_2_with_the_usage(command: Command, argv: list[str]) -> None:
    """On standard error, so that a script's output stays clean."""
    ended = command(*argv)
    assert (ended.status, ended.out) == (2, "")
    assert "usage: webhook-launcher" in ended.err


def test_a_reader_that_goes_away_is_no_fault(tmp_path: Path) -> None:
    """`webhook-launcher history | head -1`: no traceback, as of any Unix tool."""
    config = written(tmp_path)
    program = f"{sys.executable} -m webhook_launcher check --config {config}"
    script = f"{program} | true; exit ${{PIPESTATUS[0]}}"
    ended = subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, check=False, timeout=60
    )
    assert ended.returncode in (0, 141)  # it may have written before the reader was gone
    assert ended.stderr == ""


# ── check ────────────────────────────────────────────────────────────────────────────────────


def test_check_of_a_good_file_says_what_is_in_it(tmp_path: Path) -> None:
    """Names, so that a forgotten source is noticed."""
    config = written(tmp_path)
    ended = launcher("check", "--config", config)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.splitlines() == [
        f"{config}: good",
        "  sources: ci, ghcr, hub, local",
        "  workloads: pinned, site, web",
    ]


def test_check_mentions_an_api_that_is_off(command: Command, tmp_path: Path) -> None:
    """It is allowed, and a surprise when `status` is tried."""
    ended = command("check", "--config", written(tmp_path, admin=LEFT_OUT))
    assert ended.status == 0
    assert "without `admin:` the API answers 403" in ended.err


def test_check_exits_78_with_every_problem(tmp_path: Path) -> None:
    """Each on a line of its own, path first; then what to do."""
    config = written(tmp_path, parallel=0, workloads__web__polcy=[], poll__every="5")
    ended = launcher("check", "--config", config)
    assert (ended.returncode, ended.stdout) == (78, "")
    assert ended.stderr.splitlines() == [
        "error: 3 problems in the configuration",
        "  poll.every: must be a duration such as 500ms, 30s, 15m, 72h or 7d",
        "  parallel: must be a whole number from 1 to 64",
        "  workloads.web.polcy: is not a known key; did you mean 'policy'?",
        "  -> Correct the configuration file, then run `webhook-launcher check`.",
    ]


def test_check_with_json_lists_the_problems(command: Command, tmp_path: Path) -> None:
    """For editors and CI jobs that annotate files."""
    ended = command("check", "--json", "--config", written(tmp_path, parallel=0))
    assert ended.status == 78
    told = json.loads(ended.out)
    assert told["code"] == "configuration"
    assert told["problems"] == [
        {"path": "parallel", "message": "must be a whole number from 1 to 64"}
    ]
    good = command("check", "--json", "--config", written(tmp_path))
    assert json.loads(good.out)["workloads"] == ["pinned", "site", "web"]


def test_check_finds_the_file_by_option_then_variable(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The option wins; without both it is the default path, which the message names."""
    good = written(tmp_path)
    monkeypatch.setenv("LAUNCHER_CONFIG", str(tmp_path / "other.yml"))
    assert command("check", "--config", good).status == 0
    assert "other.yml: cannot be read" in command("check").err
    monkeypatch.setenv("LAUNCHER_CONFIG", good)
    assert command("check").status == 0


def test_check_touches_nothing(command: Command, tmp_path: Path) -> None:
    """It is run by hand, as another user, beside a running launcher."""
    assert command("check", "--config", written(tmp_path)).status == 0
    assert [path.name for path in tmp_path.iterdir()] == ["config.yml"]


# ── keygen ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("kind", "names"),
    [("ed25519", ["private_key", "public_key"]), ("hmac", ["secret"]), ("token", ["token"])],
)
def test_keygen_prints_what_it_made_and_what_it_is_for(
    command: Command, kind: str, names: list[str]
) -> None:
    """Values alone on standard output; their uses beside it, since a mix-up leaks a private key."""
    ended = command("keygen", "--type", kind)
    assert ended.status == 0
    made = dict(line.split(": ", 1) for line in ended.out.splitlines())
    assert list(made) == names
    assert all(f"{name}: for" in ended.err for name in names)
    assert not any(value in ended.err for value in made.values())


def test_keygen_never_makes_the_same_twice(command: Command) -> None:
    """And as JSON for scripts."""
    first = json.loads(command("keygen", "--json").out)
    second = json.loads(command("keygen", "--json").out)
    assert first["private_key"] != second["private_key"]
    assert first["public_key"].startswith("whpk_")


def test_what_keygen_makes_is_accepted_by_the_configuration(
    command: Command, tmp_path: Path
) -> None:
    """Each kind in the place that its hint names."""
    pair = json.loads(command("keygen", "--json").out)
    secret = json.loads(command("keygen", "--type", "hmac", "--json").out)
    token = json.loads(command("keygen", "--type", "token", "--json").out)
    keys = [
        {"id": "pair", "public_key": pair["public_key"]},
        {"id": "shared", "secret": secret["secret"]},
    ]
    config = written(
        tmp_path,
        sources__ci__keys=keys,
        sources__hub__token=token["token"],
        admin__token=token["token"],
    )
    assert command("check", "--config", config).status == 0
