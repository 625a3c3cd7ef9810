"""The command lines that compose gets, and what is made of its answers."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from webhook_launcher.adapters.command import Finished
from webhook_launcher.adapters.compose import Compose
from webhook_launcher.core.errors import (
    CommandNotFoundError,
    CommandTimeoutError,
    ComposeError,
    LauncherError,
)
from webhook_launcher.core.reference import parse_repository
from webhook_launcher.core.workload import ComposeProject

WEB = parse_repository("ghcr.io/acme/web")
PINNED = f"{WEB}@sha256:" + "a" * 64


@dataclass
class FakeCompose:
    """Answers like compose: `config` from the document it is given, `up` with what is set."""

    calls: list[list[str]] = field(default_factory=list)
    environments: list[Mapping[str, str]] = field(default_factory=list)
    timeouts: list[float] = field(default_factory=list)
    up: Finished = field(default_factory=lambda: Finished(0, b"", b" Container p-web-1  Started\n"))
    version: bytes = b"2.26.1-4\n"
    fault: LauncherError | None = None

    def __call__(
        self,
        argv: Sequence[str],
        *,
        timeout: float,
        env: Mapping[str, str],
        stdin: bytes,
        max_output: int,
        inherit: Sequence[int],
    ) -> Finished:
        """One run."""
        self.calls.append(list(argv))
        self.environments.append(env)
        self.timeouts.append(timeout)
        if self.fault:
            raise self.fault
        if "version" in argv:
            return Finished(0, self.version, b"")
        if "up" in argv:
            return self.up
        merged: dict[str, Any] = {}
        for name in [argv[i + 1] for i, word in enumerate(argv) if word == "-f"]:
            text = stdin if name == "-" else Path(name).read_bytes()
            merged |= json.loads(text)["services"]
        answer = json.dumps({"services": merged}).encode()
        assert len(answer) <= max_output
        return Finished(0, answer, b"")


@dataclass
class Bench:
    """A project directory, a fake compose, and the adapter on top of it."""

    directory: Path
    run: FakeCompose
    compose: Compose

    def project(self, services: Mapping[str, Any], *chosen: str) -> ComposeProject:
        """A project with a file of its own."""
        file = self.directory / "compose.yml"
        file.write_text(json.dumps({"services": services}))
        return ComposeProject("shop", self.directory, (file,), services=chosen)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """Compose is found in a directory of the test's own, so that its path is known."""
    binary = tmp_path / "docker" / "cli-plugins" / "docker-compose"
    binary.parent.mkdir(parents=True)
    binary.write_text("")
    binary.chmod(0o755)
    environment = {
        "PATH": "/bin",
        "DOCKER_CONFIG": str(tmp_path / "docker"),
        "TOKEN": "secret",
        "DOMAIN": "example.org",
    }
    run = FakeCompose()
    compose = Compose(run, tmp_path / "state", environment, pass_environment=["DOMAIN"])
    return Bench(tmp_path, run, compose)


def test_the_whole_up_command_line(bench: Bench) -> None:
    """Each word is load-bearing: without one, compose pulls, builds, or touches other services."""
    project = bench.project({"web": {"image": str(WEB)}, "jobs": {"image": str(WEB)}})
    services = bench.compose.services(project, WEB)
    override = bench.compose.pin(project, PINNED, services)
    assert bench.compose.up(project, services) == " Container p-web-1  Started\n"
    at = str(bench.directory)
    assert bench.run.calls[-1] == [
        f"{at}/docker/cli-plugins/docker-compose",
        *("--project-directory", at, "-p", "shop"),
        *("-f", f"{at}/compose.yml", "-f", f"{at}/state/overrides/shop.json"),
        *("up", "-d", "--no-deps", "--no-build", "--pull", "never", "jobs", "web"),
    ]
    assert json.loads(override.read_text()) == {
        "services": {"web": {"image": PINNED}, "jobs": {"image": PINNED}}
    }


def test_anew_replaces_what_is_as_pinned_too(bench: Bench) -> None:
    """Compose would only start it, which an engine that was killed may refuse for ever."""
    project = bench.project({"web": {"image": str(WEB)}})
    bench.compose.pin(project, PINNED, ["web"])
    bench.compose.up(project, ["web"], anew=True)
    assert bench.run.calls[-1][-3:] == ["never", "--force-recreate", "web"]


def test_a_port_that_the_engine_holds_has_its_own_advice(bench: Bench) -> None:
    """No `up` helps when nobody has it but the engine: the operator must be told what does."""
    said = b"Error response from daemon: Bind for 127.0.0.1:8080 failed: port is already allocated"
    bench.run.up = Finished(1, b"", b"Container p-web-1  Starting\n" + said)
    project = bench.project({"web": {"image": str(WEB)}})
    bench.compose.pin(project, PINNED, ["web"])
    with pytest.raises(ComposeError) as raised:
        bench.compose.up(project, ["web"])
    assert "publish=8080" in raised.value.advice()
    assert "restart the engine" in raised.value.advice()


def test_the_services_are_asked_for_with_every_profile(bench: Bench) -> None:
    """Without `*`, a configured service of an inactive profile would be called unknown."""
    project = bench.project({"web": {"image": str(WEB)}})
    bench.compose.services(project, WEB)
    (call,) = bench.run.calls
    assert call[5:] == [
        *("-f", f"{bench.directory}/compose.yml"),
        *("--profile", "*", "config", "--format", "json"),
    ]


def test_compose_sees_nothing_of_the_launchers_environment(bench: Bench) -> None:
    """Only what docker needs and what the operator named."""
    bench.compose.version()
    (seen,) = bench.run.environments
    assert set(seen) == {"PATH", "DOCKER_CONFIG", "DOMAIN"}


def test_the_answer_of_config_is_kept_until_a_file_changes(bench: Bench) -> None:
    """It costs 0.1 s of every deployment otherwise, and must never be stale."""
    project = bench.project({"web": {"image": str(WEB)}})
    assert bench.compose.services(project, WEB) == ("web",)
    assert bench.compose.services(project, WEB) == ("web",)
    assert len(bench.run.calls) == 1
    bench.project({"app": {"image": str(WEB)}})
    assert bench.compose.services(project, WEB) == ("app",)
    (bench.directory / ".env").write_text("X=1\n")
    assert bench.compose.services(project, WEB) == ("app",)
    assert len(bench.run.calls) == 3


def test_the_answer_is_not_kept_when_files_draw_in_others(bench: Bench) -> None:
    """A change of an included file cannot be seen from here."""
    project = bench.project({"web": {"image": str(WEB), "labels": {"x": "include"}}})
    bench.compose.services(project, WEB)
    bench.compose.services(project, WEB)
    assert len(bench.run.calls) == 2


def test_configured_services_are_taken_as_they_are(bench: Bench) -> None:
    """The operator may want only one of two, or one whose image is built."""
    services = {"web": {"image": str(WEB)}, "jobs": {"image": str(WEB)}}
    assert bench.compose.services(bench.project(services, "jobs"), WEB) == ("jobs",)


def test_an_unknown_service_is_refused_and_the_known_ones_named(bench: Bench) -> None:
    """In an override it would silently be added to the project and started."""
    project = bench.project({"web": {"image": str(WEB)}, "db": {"image": "x"}}, "wbe", "web")
    with pytest.raises(ComposeError, match="has no service wbe") as raised:
        bench.compose.services(project, WEB)
    assert "db, web" in raised.value.advice()


def test_a_project_without_the_image_is_refused_with_advice(bench: Bench) -> None:
    """`up` without service names would recreate everything."""
    project = bench.project({"db": {"image": "postgres"}})
    with pytest.raises(ComposeError, match="no service of compose project 'shop' uses") as raised:
        bench.compose.services(project, WEB)
    assert str(WEB) in raised.value.advice()


def test_active_profiles_of_dotenv_count(bench: Bench) -> None:
    """COMPOSE_PROFILES is how an operator switches services on for good."""
    services = {"web": {"image": str(WEB)}, "x": {"image": str(WEB), "profiles": ["extra"]}}
    (bench.directory / ".env").write_text("COMPOSE_PROFILES=other, extra\n")
    assert bench.compose.services(bench.project(services), WEB) == ("web", "x")


def test_pins_of_two_workloads_in_one_project_live_together(bench: Bench) -> None:
    """A by-hand `up` with the override must not unpin what the other workload runs."""
    project = bench.project({"web": {"image": str(WEB)}, "api": {"image": "ghcr.io/acme/api"}})
    other = "ghcr.io/acme/api@sha256:" + "b" * 64
    bench.compose.pin(project, other, ["api"])
    override = bench.compose.pin(project, PINNED, ["web"])
    assert json.loads(override.read_text()) == {
        "services": {"api": {"image": other}, "web": {"image": PINNED}}
    }


def test_an_inline_project_is_written_with_the_image(bench: Bench) -> None:
    """The launcher writes the document itself; it must be usable by hand, too."""
    inline = {"services": {"server": {"ports": ["10080:80"]}, "db": {"image": "postgres"}}}
    project = ComposeProject("seed", bench.directory, inline=inline)
    assert bench.compose.services(project, WEB) == ("server",)
    bench.compose.pin(project, PINNED, ["server"])
    written = bench.directory / "state" / "projects" / "seed" / "compose.json"
    assert json.loads(written.read_text())["services"] == {
        "server": {"ports": ["10080:80"], "image": PINNED},
        "db": {"image": "postgres"},
    }
    bench.compose.up(project, ["server"])
    files = [bench.run.calls[-1][i + 1] for i, w in enumerate(bench.run.calls[-1]) if w == "-f"]
    assert files == [str(written), f"{bench.directory}/state/overrides/seed.json"]
    assert len(bench.run.calls) == 2, "`config` was asked once"


def test_a_state_directory_that_cannot_be_written_is_said_so(bench: Bench) -> None:
    """A full disk must end as a failed deployment with advice, not as a fault of ours."""
    project = bench.project({"web": {"image": str(WEB)}})
    bench.compose.services(project, WEB)
    (bench.directory / "state").write_text("a file where the directory should be")
    with pytest.raises(ComposeError, match="cannot write the override") as caught:
        bench.compose.pin(project, PINNED, ["web"])
    assert "free space" in caught.value.advice()


def test_a_failed_up_tells_the_reason_and_the_command(bench: Bench) -> None:
    """The operator must be able to repeat it by hand."""
    bench.run.up = Finished(1, b"", b"x\n" * 2000 + b"Error: port is already allocated\n")
    project = bench.project({"web": {"image": str(WEB)}})
    bench.compose.pin(project, PINNED, ["web"])
    with pytest.raises(
        ComposeError, match=r"status 1: Error: port is already allocated\Z"
    ) as raised:
        bench.compose.up(project, ["web"])
    assert len(str(raised.value)) < 500
    command = raised.value.output.splitlines()[0]
    assert command.startswith("$ ")
    assert command.endswith("--pull never web")
    assert raised.value.output.count("x\n") == 2000


def test_an_up_that_takes_too_long_is_a_failure_of_compose(bench: Bench) -> None:
    """The release did not come up: the one before has to come back."""
    project = bench.project({"web": {"image": str(WEB)}})
    bench.compose.pin(project, PINNED, ["web"])
    bench.run.fault = CommandTimeoutError("it did not end", output="Container Stopping")
    with pytest.raises(ComposeError, match="did not end") as raised:
        bench.compose.up(project, ["web"])
    assert "Container Stopping" in raised.value.output


def test_a_missing_compose_says_what_to_install(bench: Bench) -> None:
    """`check` and `doctor` find it before the first push does."""
    bench.run.fault = CommandNotFoundError("cannot run docker")
    with pytest.raises(ComposeError) as raised:
        bench.compose.version()
    assert "2.21" in raised.value.advice()


@pytest.mark.parametrize(
    "said",
    [
        "docker: unknown command: docker compose\n\nRun 'docker --help' for more information\n",
        "docker: 'compose' is not a docker command.\nSee 'docker --help'\n",
    ],
)
def test_a_docker_without_the_plugin_is_said(tmp_path: Path, said: str) -> None:
    """Its last line is no reason: it says where to read about docker."""
    ended = Finished(125, b"", said.encode())
    compose = Compose(lambda *_, **__: ended, tmp_path, {})
    with pytest.raises(ComposeError, match="docker has no Compose plugin") as raised:
        compose.version()
    assert "Install the Docker Compose plugin" in raised.value.advice()


def test_a_compose_that_is_too_old_is_refused(bench: Bench) -> None:
    """Better at the start than by an unknown option in the middle of a deployment."""
    bench.run.version = b"2.17.2\n"
    with pytest.raises(ComposeError, match=r"2\.17\.2 is too old"):
        bench.compose.version()


def test_files_that_are_gone_are_composes_to_complain_about(bench: Bench) -> None:
    """The answer for the file as it was must not be used for one that is not there."""
    project = bench.project({"web": {"image": str(WEB)}})
    bench.compose.services(project, WEB)
    (bench.directory / "compose.yml").unlink()
    with pytest.raises(FileNotFoundError):  # from the fake, which stands for compose
        bench.compose.services(project, WEB)
    assert len(bench.run.calls) == 2
