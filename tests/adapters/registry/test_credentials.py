"""Docker's config.json and credential helpers, read as the docker command reads them."""

import base64
import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from webhook_launcher.adapters.registry import Credential, DockerCredentials
from webhook_launcher.core.errors import RegistryDeniedError

HUB = "https://index.docker.io/v1/"
ROBOT = Credential("robot", "se:cret")
NOT_FOUND = b"credentials not found in native keychain\n"


def auth(username: str = "robot", password: str = "se:cret") -> dict[str, str]:
    """An entry of `auths`."""
    return {"auth": base64.b64encode(f"{username}:{password}".encode()).decode()}


class Helpers:
    """Credential helpers as programs that answer; `asked` is how they were run."""

    def __init__(self, **answers: tuple[int, bytes] | OSError) -> None:
        self.answers = answers
        self.asked: list[tuple[tuple[str, ...], bytes]] = []

    def __call__(self, argv: Sequence[str], stdin: bytes, timeout: float) -> tuple[int, bytes]:
        """As the launcher's runner is called."""
        assert 0 < timeout <= 30
        self.asked.append((tuple(argv), stdin))
        answer = self.answers[argv[0].removeprefix("docker-credential-").replace("-", "_")]
        if isinstance(answer, OSError):
            raise answer
        return answer


def answer(username: str = "robot", secret: str = "se:cret") -> tuple[int, bytes]:
    """What a helper ends with when it knows the server."""
    said = {"ServerURL": "x", "Username": username, "Secret": secret}
    return 0, json.dumps(said).encode()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where docker's configuration is, once a test writes it."""
    return tmp_path / "config.json"


def credentials(path: Path, config: Any, helpers: Helpers | None = None) -> DockerCredentials:
    """The credentials of a configuration file with this content."""
    path.write_text(config if isinstance(config, str) else json.dumps(config))
    return DockerCredentials(path, helpers or Helpers())


def test_missing_file_means_no_credentials(path: Path) -> None:
    """Whoever never logged in has none; public images need none."""
    assert DockerCredentials(path, Helpers())("ghcr.io") is None


@pytest.mark.parametrize(
    ("key", "registry"),
    [
        (HUB, "docker.io"),
        ("docker.io", "docker.io"),
        ("index.docker.io", "docker.io"),
        ("registry-1.docker.io", "docker.io"),
        ("ghcr.io", "ghcr.io"),
        ("https://ghcr.io", "ghcr.io"),
        ("https://ghcr.io/", "ghcr.io"),
        ("http://localhost:5000/v2/", "localhost:5000"),
        ("127.0.0.1:5000", "127.0.0.1:5000"),
        ("https://GHCR.io/v1/", "ghcr.io"),
    ],
)
def test_login_is_found_under_every_key_docker_writes(path: Path, key: str, registry: str) -> None:
    """Versions of docker, podman and CI scripts spell the same registry differently."""
    found = credentials(path, {"auths": {"other.example": auth("x", "y"), key: auth()}})
    assert found(registry) == ROBOT


@pytest.mark.parametrize(
    "key", ["ghcr.io.evil.example", "https://ghcr.io/other", f"{HUB}access-token", "docker.io/acme"]
)
def test_other_keys_are_not_mistaken_for_it(path: Path, key: str) -> None:
    """A password must not go to another host; docker also keeps tokens under longer keys."""
    found = credentials(path, {"auths": {key: auth()}})
    assert found("ghcr.io") is None
    assert found("docker.io") is None


def test_dockers_own_key_wins_over_a_look_alike(path: Path) -> None:
    """`docker login` updates its own key; an entry that somebody added once is stale."""
    found = credentials(path, {"auths": {"docker.io": auth("old", "old"), HUB: auth()}})
    assert found("docker.io") == ROBOT


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"username": "robot", "password": "se:cret"}, ROBOT),
        ({"auth": base64.b64encode(b"robot:se:cret\0\0").decode()}, ROBOT),
        ({"identitytoken": "id"}, Credential.identity_token("id")),
        (
            {**auth("00000000-0000-0000-0000-000000000000", ""), "identitytoken": "id"},
            Credential.identity_token("id"),
        ),
        ({}, None),
        ({"auth": ""}, None),
        (auth("", ""), None),
        (auth("robot", ""), None),
        ({"email": "x@example.com"}, None),
    ],
)
def test_entries_of_every_form_are_read(
    path: Path, entry: dict[str, str], expected: Credential | None
) -> None:
    """An empty entry is what docker leaves behind when a helper keeps the password."""
    assert credentials(path, {"auths": {"ghcr.io": entry}})("ghcr.io") == expected


def test_helper_of_the_registry_is_asked(path: Path) -> None:
    """The helpers' protocol: program `docker-credential-NAME`, argument `get`, server on stdin."""
    helpers = Helpers(ecr_login=answer("AWS", "token"))
    config = {"credHelpers": {"1.dkr.ecr.example": "ecr-login"}, "credsStore": "desktop"}
    found = credentials(path, config, helpers)
    assert found("1.dkr.ecr.example") == Credential("AWS", "token")
    assert helpers.asked == [(("docker-credential-ecr-login", "get"), b"1.dkr.ecr.example")]


@pytest.mark.parametrize(
    "section", [{"credsStore": "pass"}, {"credHelpers": {"docker.io": "pass"}}]
)
def test_hub_is_asked_for_under_its_old_name(path: Path, section: dict[str, Any]) -> None:
    """Stores keep Docker Hub under the v1 address; asked for `docker.io` they know nothing."""
    helpers = Helpers(**{"pass": answer()})
    assert credentials(path, section, helpers)("docker.io") == ROBOT
    assert helpers.asked[0][1] == HUB.encode()


def test_store_decides_alone(path: Path) -> None:
    """As in docker: an entry in the file beside a store is a leftover from before it."""
    helpers = Helpers(desktop=(1, NOT_FOUND))
    config = {"auths": {"ghcr.io": auth()}, "credsStore": "desktop"}
    assert credentials(path, config, helpers)("ghcr.io") is None


def test_identity_token_of_a_helper_is_recognised(path: Path) -> None:
    """The protocol marks it by the user name `<token>`; as a password it would be refused."""
    found = credentials(path, {"credsStore": "x"}, Helpers(x=answer("<token>", "id")))("ghcr.io")
    assert found == Credential.identity_token("id")
    assert found is not None
    assert found.is_identity_token


@pytest.mark.parametrize(
    "result",
    [
        (1, b"s3cret and an error"),
        (0, b"s3cret"),
        (0, b"[]"),
        (0, b'{"Username": "s3cret"}'),
        (0, b'{"Username": 5, "Secret": "s3cret"}'),
        FileNotFoundError("s3cret"),
        PermissionError("s3cret"),
        TimeoutError("s3cret"),
    ],
    ids=repr,
)
def test_failing_helper_is_named_and_its_output_is_not_shown(
    path: Path, result: tuple[int, bytes] | OSError
) -> None:
    """The operator can run it by hand; what it printed may be the password."""
    found = credentials(path, {"credsStore": "vault"}, Helpers(vault=result))
    with pytest.raises(RegistryDeniedError, match="docker-credential-vault") as caught:
        found("ghcr.io")
    assert "docker-credential-vault get" in caught.value.advice()
    assert "s3cret" not in str(caught.value) + caught.value.advice()


@pytest.mark.parametrize("name", ["../../tmp/x", "a b", "a;b", "a/b", "x\n", 5, ["a"], "\u0451"])
def test_odd_helper_name_is_not_run(path: Path, name: object) -> None:
    """The name becomes part of a program's name: the file must not choose any program."""
    helpers = Helpers()
    with pytest.raises(RegistryDeniedError, match=str(path)):
        credentials(path, {"credsStore": name}, helpers)("ghcr.io")
    assert helpers.asked == []


@pytest.mark.parametrize(
    "config",
    [
        "",
        "[]",
        "{",
        "null",
        '{"auths": {}, "auths": {}}',
        {"auths": []},
        {"auths": {"ghcr.io": "text"}},
        {"auths": {"ghcr.io": {"auth": 5}}},
        {"auths": {"ghcr.io": {"auth": "not base64!"}}},
        {"auths": {"ghcr.io": {"auth": "czNj!cmV0OnM="}}},
        {"auths": {"ghcr.io": {"auth": "czNjcmV0"}}},
        {"auths": {"ghcr.io": {"auth": "//79"}}},
        {"auths": {"ghcr.io": {"username": 5, "password": 6}}},
        {"auths": {"ghcr.io": {"identitytoken": 5}}},
        {"auths": {"ghcr.io": {"registrytoken": "s3cret"}}},
        {"credHelpers": ["ghcr.io"]},
    ],
    ids=repr,
)
def test_unusable_file_is_named_and_not_quoted(path: Path, config: Any) -> None:
    """Going on anonymously would end in a misleading 'not found'; the file holds passwords."""
    with pytest.raises(RegistryDeniedError, match=str(path)) as caught:
        credentials(path, config)("ghcr.io")
    assert "s3cret" not in str(caught.value)


def test_directory_in_the_files_place_is_named(tmp_path: Path) -> None:
    """A bind mount of a file that was not there makes a directory: a classic in containers."""
    with pytest.raises(RegistryDeniedError, match=f"{tmp_path}.*directory"):
        DockerCredentials(tmp_path, Helpers())("ghcr.io")


def test_oversized_file_is_refused(path: Path) -> None:
    """It is read into memory on every change."""
    with pytest.raises(RegistryDeniedError, match=str(path)):
        credentials(path, json.dumps({"auths": {}}) + " " * 1024 * 1024)("ghcr.io")


def test_changed_file_is_read_again(path: Path) -> None:
    """`docker login` at three in the morning must work without a restart of the launcher."""
    found = credentials(path, {"auths": {"ghcr.io": auth("old", "old")}})
    assert found("ghcr.io") == Credential("old", "old")
    # docker writes a new file and renames it: another inode, perhaps in the same clock tick.
    new = path.with_name("new")
    new.write_text(json.dumps({"auths": {"ghcr.io": auth("new", "new")}}))
    same = path.stat()
    assert new.stat().st_size == same.st_size
    os.utime(new, ns=(same.st_atime_ns, same.st_mtime_ns))
    new.rename(path)
    assert found("ghcr.io") == Credential("new", "new")
    path.unlink()
    assert found("ghcr.io") is None


def test_unchanged_file_is_read_once(path: Path) -> None:
    """It is asked on every challenge; the parsed content serves as long as the file is the same."""
    found = credentials(path, {"auths": {"ghcr.io": auth()}})
    found("ghcr.io")
    times = path.stat()
    path.write_text("x" * times.st_size)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert found("ghcr.io") == ROBOT


def test_broken_file_is_not_remembered_as_read(path: Path) -> None:
    """A half-written file is an error each time until it is whole; never the old content."""
    found = credentials(path, "{")
    for _ in range(2):
        with pytest.raises(RegistryDeniedError):
            found("ghcr.io")


def test_real_program_as_helper(path: Path, tmp_path: Path) -> None:
    """The protocol over real pipes: the fake must not be the only one that understands us."""
    program = tmp_path / "docker-credential-real"
    program.write_text(
        '#!/bin/sh\ntest "$1" = get || exit 2\nread -r server || true\n'
        'printf \'{"ServerURL":"%s","Username":"u","Secret":"for %s"}\' "$server" "$server"\n'
    )
    program.chmod(0o755)

    def run(argv: Sequence[str], stdin: bytes, timeout: float) -> tuple[int, bytes]:
        ended = subprocess.run(
            [str(tmp_path / argv[0]), *argv[1:]],
            input=stdin,
            timeout=timeout,
            capture_output=True,
            check=False,
        )
        return ended.returncode, ended.stdout

    path.write_text('{"credsStore": "real"}')
    assert DockerCredentials(path, run)("ghcr.io") == Credential("u", "for ghcr.io")


def test_credential_hides_both_parts() -> None:
    """Some registries want the token as the user name."""
    assert repr(ROBOT) == "Credential()"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(
        st.sampled_from(["auths", "credHelpers", "credsStore"]),
        st.none()
        | st.integers()
        | st.text(max_size=5)
        | st.dictionaries(
            st.sampled_from(["ghcr.io", "https://ghcr.io", "[", "a/b"]) | st.text(max_size=5),
            st.none()
            | st.text(max_size=5)
            | st.dictionaries(
                st.sampled_from(["auth", "identitytoken", "username", "password"]),
                st.none() | st.integers() | st.text(max_size=8),
            ),
        ),
    )
)
def test_any_file_is_a_credential_none_or_our_own_error(path: Path, config: Any) -> None:
    """Whatever somebody's script left there, the worker meets one kind of error."""

    def run(argv: Sequence[str], stdin: bytes, timeout: float) -> tuple[int, bytes]:
        return 1, NOT_FOUND

    path.unlink(missing_ok=True)
    path.write_text(json.dumps(config))
    try:
        found = DockerCredentials(path, run)("ghcr.io")
    except RegistryDeniedError:
        return
    assert found is None or isinstance(found, Credential)
