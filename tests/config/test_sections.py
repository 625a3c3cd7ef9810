"""Sources, workloads and registries: what may stand there, and everything that may not, at once."""

from pathlib import Path
from typing import Any

import pytest

from tests.builders import HMAC_KEY, LEFT_OUT
from tests.config.faults import faults, faults_of, good, read, with_changes
from webhook_launcher.core.workload import TrackKind
from webhook_launcher.sources import KINDS

PUBLIC_KEY = "whpk_QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE="
MISSING = Path("/nonexistent/secret")


def test_all_problems_are_reported_at_once_with_their_paths() -> None:
    """Nobody should have to run `check` ten times; problems of different sections included."""
    changes = {
        "listen": "nowhere",
        "limits": {"body": "1MB", "bodies": 1},
        "poll": {"evry": "5m"},
        "registries": {"ghcr.io": {"username": "acme"}, "not a host": {}},
        "sources.hub.kind": "dockrhub",
        "sources.ci.workloads": ["web", "wbe"],
        "sources.ci.keys": [{"id": "a", "secret": HMAC_KEY}, {"secret": HMAC_KEY}],
        "workloads.web.image": "ghcr.io/acme/web:stable",
        "workloads.web.track": {"semver": "1.2"},
        "workloads.site.compose": {"file": "missing.yml"},
        "workloads.site.polcy": [],
    }
    assert set(faults(with_changes(changes))) == {
        "listen",
        "poll.evry",
        "limits.body",
        "limits.bodies",
        "registries.ghcr.io",
        "registries.not a host",
        "sources.hub.kind",
        "sources.ci.keys[1].id",
        "workloads.web.image",
        "workloads.web.track.semver",
        "workloads.site.compose.file",
        "workloads.site.polcy",
        "sources.ci.workloads",
    }


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("paralel", "did you mean 'parallel'?"),
        ("workloads.web.helth", "did you mean 'health'?"),
        ("workloads.web.track.tga", "did you mean 'tag'?"),
        ("sources.hub.tokn_file", "did you mean 'token_file'?"),
        ("zzz", "known here: "),
    ],
)
def test_an_unknown_key_is_an_error_with_the_nearest_known_one(path: str, hint: str) -> None:
    """A misspelt `policy` that is skipped in silence would be a hole."""
    found = faults_of(path, "1m")
    assert list(found) == [path]
    assert found[path].startswith("is not a known key; ")
    assert hint in found[path]


@pytest.mark.parametrize(
    "section",
    ["poll", "limits", "admin", "registries", "sources", "sources.hub", "workloads.web.compose"],
)
@pytest.mark.parametrize("value", [None, [], "text", 5])
def test_a_section_that_is_no_mapping_is_an_error(section: str, value: object) -> None:
    """An emptied section (`admin:` with its lines commented out) is not the same as none."""
    assert "must be a mapping of keys to values" in faults_of(section, value)[section]


@pytest.mark.parametrize("value", [{}, LEFT_OUT])
def test_a_file_without_workloads_is_an_error(value: object) -> None:
    """A launcher that launches nothing is a mistake."""
    found = faults(with_changes({"workloads": value, "sources.ci.workloads": LEFT_OUT}))
    assert found == {"workloads": "is empty: there is nothing to keep up to date"}


@pytest.mark.parametrize("name", ["Web", "-web", "", "a b", "a/b", "a" * 64, "wéb", "..", "a.b"])
@pytest.mark.parametrize("section", ["sources", "workloads"])
def test_names_are_plain(section: str, name: str) -> None:
    """A source's name is part of a URL, a workload's the name of a compose project and of files."""
    values: dict[str, Any] = {
        "sources": {"kind": "dockerhub", "token": "a-token-of-some-length"},
        "workloads": {
            "image": "acme/other",
            "track": "none",
            "compose": {"inline": {"services": {"a": {}}}, "project": "other"},
        },
    }
    text = with_changes({section: {name: values[section]}, "sources.ci": LEFT_OUT})
    assert "the name must" in str(faults(text))


# ── sources ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", ["gitbucket", "", None, 5, ["github"], {"github": 1}])
def test_the_kinds_there_are_are_listed(kind: object) -> None:
    """The kind is never guessed."""
    found = faults_of("sources.hub.kind", kind)
    assert found == {"sources.hub.kind": f"must be one of {', '.join(sorted(KINDS))}"}


def test_a_source_needs_a_kind() -> None:
    """Without one there is nothing to verify a delivery by."""
    found = faults_of("sources.hub", {"token": "a-token-of-some-length"})
    assert found == {"sources.hub.kind": f"is missing; known kinds: {', '.join(sorted(KINDS))}"}


@pytest.mark.parametrize(
    ("kind", "needed"),
    [
        ("dockerhub", "token_file"),
        ("github", "secret_file"),
        ("distribution", "secret_file or token_file"),
        ("deploy", "keys"),
    ],
)
def test_a_source_without_its_credentials_is_refused(kind: str, needed: str) -> None:
    """It would let anybody deploy; the message names what this kind authenticates by."""
    assert faults_of("sources.extra", {"kind": kind}) == {
        "sources.extra": f"needs {needed}: without it anybody could send events"
    }


def test_credentials_that_a_kind_does_not_look_at_are_refused() -> None:
    """A secret at a sender that signs nothing only looks like protection."""
    source = {"kind": "dockerhub", "token": "a-token-of-some-length", "secret": "x"}
    assert faults_of("sources.extra", source) == {
        "sources.extra.secret": "is not used by kind dockerhub; it proves nothing there"
    }


KEY = {"id": "k", "secret": "whsec_QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE="}
MAC = {"header": "X-Signature"}
TOKEN = "a-token-of-some-length"


@pytest.mark.parametrize(
    ("given", "faults"),
    [
        ({"hmac": MAC, "token": TOKEN}, {"hmac": "needs secret_file"}),
        ({"hmac": MAC, "keys": [KEY]}, {"hmac": "needs secret_file", "keys": "not used"}),
        ({"hmac": MAC, "secret": "s", "keys": [KEY]}, {"keys": "not used beside hmac"}),
        ({"hmac": MAC, "secret": "s", "header": "X-Token"}, {"header": "not used beside hmac"}),
        ({"keys": [KEY], "secret": "s"}, {"secret": "not used beside keys"}),
        ({"keys": [KEY], "secrets": [{"id": "a", "secret": "s"}]}, {"secrets": "not used"}),
        ({"keys": [KEY], "secret_file": "/no/such/file"}, {"secret_file": "not used"}),
        ({"token": TOKEN, "header": "X-Token"}, {"header": "needs secret_file"}),
        ({"hmac": {"header": ""}, "token": TOKEN}, {"hmac": "needs secret_file"}),
    ],
)
def test_what_proves_a_generic_delivery_is_there_and_nothing_else(
    given: dict[str, Any], faults: dict[str, str]
) -> None:
    """A MAC without key lets nobody in; a secret that nothing asks for only looks like one."""
    source = {"kind": "generic", "fields": {"reference": "image"}, **given}
    found = faults_of("sources.extra", source)
    for key, words in faults.items():
        assert words in found[f"sources.extra.{key}"]


@pytest.mark.parametrize(
    "given",
    [
        {"hmac": MAC, "secret": "s", "token": TOKEN},
        {"keys": [KEY], "token": TOKEN},
        {"secret": "s", "header": "X-Token"},
        {"token": TOKEN},
    ],
)
def test_a_url_token_may_stand_beside_every_proof(given: dict[str, Any]) -> None:
    """It is a second layer, never unused."""
    settings = good("sources.extra", {"kind": "generic", "fields": {"reference": "i"}, **given})
    assert settings.sources["extra"].kind == "generic"


@pytest.mark.parametrize(
    ("token", "words"),
    [
        ("short", "at least 16 characters"),
        ("a token with spaces in it", "letters, digits and"),
        ("ein-schlüssel-der-länger-ist", "letters, digits and"),
        (12345678901234567890, "must be text"),
        ("", "must not be empty"),
    ],
)
def test_a_url_token_is_long_and_fits_a_url(token: object, words: str) -> None:
    """It is the only thing between the network and a redeploy."""
    assert words in str(faults_of("sources.hub.token", token))


def test_several_secrets_are_valid_at_once() -> None:
    """Rotation: the old and the new, each with the id that the history shows."""
    secrets = [{"id": 2026, "secret": "new"}, {"id": "old", "secret": "old"}]
    source = good("sources.extra", {"kind": "github", "secrets": secrets}).sources["extra"]
    assert [(secret.id, secret.value) for secret in source.secrets] == [
        ("2026", b"new"),
        ("old", b"old"),
    ]


def test_two_secrets_of_one_id_are_refused() -> None:
    """The history would not tell which of them is still in use."""
    secrets = [{"id": "a", "secret": "new"}, {"id": "a", "secret": "old"}]
    assert faults_of("sources.extra", {"kind": "github", "secrets": secrets}) == {
        "sources.extra.secrets": "two entries have the same id"
    }


@pytest.mark.parametrize(
    ("key", "path", "words"),
    [
        ({"public_key": HMAC_KEY}, ".public_key", "write it as secret or secret_file"),
        ({"secret": PUBLIC_KEY}, ".secret", "write it as public_key"),
        ({"public_key": "whsk_AAAA"}, ".public_key", "belongs to the sender alone"),
        ({"public_key": "whpk_AAAA"}, ".public_key", "32 bytes"),
        ({"secret": "whsec_AAAA"}, ".secret", "fewer than 16 bytes"),
        ({"public_key": PUBLIC_KEY, "secret": HMAC_KEY}, "", "exactly one of"),
        ({}, "", "exactly one of"),
        ({"public_key": PUBLIC_KEY, "algorithm": "v1"}, ".algorithm", "not a known key"),
    ],
)
def test_a_key_is_what_its_name_says(key: dict[str, str], path: str, words: str) -> None:
    """A public key taken for a shared secret would be one that everybody knows."""
    found = faults_of("sources.ci.keys", [{"id": "a", **key}])
    assert words in found[f"sources.ci.keys[0]{path}"]


@pytest.mark.parametrize("value", [[], ["web", "web"], "web", None, [1]])
def test_a_scope_that_cannot_be_read_is_never_every_workload(value: object) -> None:
    """`workloads: []` written by a template must not open all of them."""
    assert list(faults_of("sources.ci.workloads", value)) == ["sources.ci.workloads"]


def test_a_scope_names_configured_workloads() -> None:
    """A misspelt one would be out of scope in silence."""
    assert faults_of("sources.ci.workloads", ["wbe"]) == {
        "sources.ci.workloads": "'wbe' is not under `workloads:`"
    }


@pytest.mark.parametrize("header", ["X Token", "X-Token:", "", "Ünicode", 5])
def test_a_header_has_the_name_of_a_header(header: object) -> None:
    """No request could ever carry another."""
    assert list(faults_of("sources.local.header", header)) == ["sources.local.header"]


def test_a_header_is_configured_only_where_one_is_looked_at() -> None:
    """GitHub's signature header is fixed; another one would be ignored in silence."""
    assert "is not a known key" in str(faults_of("sources.ghcr.header", "X-Other"))


# ── secrets and files ────────────────────────────────────────────────────────────────────────


def test_a_secret_may_be_in_a_file_of_its_own(tmp_path: Path) -> None:
    """Docker and Kubernetes hand secrets over as files; editors end them with a line end."""
    (tmp_path / "secret").write_bytes(b" kept as it is \r\n")
    source = {"kind": "github", "secret_file": "secret"}
    settings = good("sources.extra", source, tmp_path / "config.yml")
    assert settings.sources["extra"].secrets[0].value == b" kept as it is "


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"", "is empty"), (b" \n\n", "is empty"), (b"x" * 70000, "is it the right file?")],
)
def test_a_secret_file_holds_a_secret(tmp_path: Path, content: bytes, words: str) -> None:
    """An empty secret verifies what anybody signs with nothing."""
    (tmp_path / "secret").write_bytes(content)
    source = {"kind": "github", "secret_file": "secret"}
    found = faults_of("sources.extra", source, tmp_path / "config.yml")
    assert list(found) == ["sources.extra.secret_file"]
    assert words in found["sources.extra.secret_file"]


@pytest.mark.parametrize(
    ("path", "value", "place"),
    [
        ("sources.extra", {"kind": "github", "secret_file": str(MISSING)}, ".secret_file"),
        ("sources.extra", {"kind": "dockerhub", "token_file": str(MISSING)}, ".token_file"),
        (
            "sources.extra",
            {"kind": "github", "secrets": [{"id": "a", "secret_file": str(MISSING)}]},
            ".secrets[0].secret_file",
        ),
        (
            "sources.extra",
            {"kind": "deploy", "keys": [{"id": "a", "secret_file": str(MISSING)}]},
            ".keys[0].secret_file",
        ),
        ("admin", {"token_file": str(MISSING)}, ".token_file"),
        (
            "registries",
            {"a.b": {"username": "a", "password_file": str(MISSING)}},
            ".a.b.password_file",
        ),
    ],
)
def test_a_missing_secret_file_is_one_problem_and_says_so(
    path: str, value: object, place: str
) -> None:
    """The file is the problem; "needs a secret" beside it would send people astray."""
    assert faults_of(path, value) == {
        f"{path}{place}": f"cannot read {MISSING}: No such file or directory"
    }


def test_a_secret_given_twice_is_refused() -> None:
    """Which of the two counts would be a guess."""
    token = {"token": "a-token-of-some-length", "token_file": "/dev/null"}
    assert "is given twice" in str(faults_of("sources.hub", {"kind": "dockerhub", **token}))


def test_an_admin_section_without_a_token_is_refused() -> None:
    """Leaving `admin` out turns the API off; writing it means that one is wanted."""
    assert "needs token_file" in faults_of("admin", {})["admin"]


@pytest.mark.parametrize(
    "token", ["short", "with spaces that no header has", "zwölf-oder-mehr-zeichen"]
)
def test_the_admin_token_is_long_and_fits_a_header(token: str) -> None:
    """Otherwise it could be guessed, or would never be matched."""
    assert list(faults_of("admin", {"token": token})) == ["admin.token"]


def test_registries_are_known_by_their_usual_name() -> None:
    """docker.io has several names; credentials must be found under the one that references use."""
    access = {"index.docker.io": {"username": "acme", "password": "x"}}
    assert list(good("registries", access).registries) == ["docker.io"]


def test_one_registry_under_two_names_is_refused() -> None:
    """One of the two would win in silence."""
    assert "twice" in str(faults_of("registries", {"docker.io": {}, "index.docker.io": {}}))


@pytest.mark.parametrize("access", [{"username": "a"}, {"password": "b"}])
def test_registry_credentials_come_in_pairs(access: dict[str, str]) -> None:
    """Half of them is a mistake."""
    assert "needs both" in faults_of("registries", {"ghcr.io": access})["registries.ghcr.io"]


# ── workloads ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("key", ["image", "track", "compose"])
def test_what_a_workload_cannot_do_without(key: str) -> None:
    """Nothing is guessed from its name."""
    found = faults(with_changes({f"workloads.web.{key}": LEFT_OUT}))
    assert list(found) == [f"workloads.web.{key}"]


@pytest.mark.parametrize(
    "image", ["ghcr.io/acme/web:stable", "ghcr.io/acme/web@sha256:" + "1" * 64, "Acme/Web", "", 5]
)
def test_an_image_is_a_repository_without_tag(image: object) -> None:
    """The tag is what `track` says; two of them could disagree."""
    assert list(faults_of("workloads.web.image", image)) == ["workloads.web.image"]


def test_nothing_is_followed_where_that_is_written() -> None:
    """`track: none`: only signed deploy events and operators move the workload."""
    assert good("workloads.web.track", "none").workloads["web"].track.kind is TrackKind.NONE


@pytest.mark.parametrize("track", [None, "", "stable", "off", {}, [], {"tag": ""}, {"tag": "a b"}])
def test_what_is_no_tracker_is_refused(track: object) -> None:
    """An empty `track:` is no decision to follow nothing."""
    assert "workloads.web.track" in str(faults_of("workloads.web.track", track))


@pytest.mark.parametrize(
    "track",
    [{"tag": "a", "command": ["b"]}, {"tag": "a", "semver": "^1"}, {"tag": "a", "timeout": "5s"}],
)
def test_one_thing_is_followed(track: dict[str, object]) -> None:
    """Of two, one would be ignored."""
    assert faults_of("workloads.web.track", track)


def test_a_command_is_a_list_and_may_be_beside_the_file(tmp_path: Path) -> None:
    """The seed's get-latest script; no shell, and a relative path belongs to the file."""
    track = {"command": ["./get-latest", "./web"], "timeout": "5s"}
    found = good("workloads.web.track", track, tmp_path / "config.yml").workloads["web"].track
    assert found.kind is TrackKind.COMMAND
    assert found.argv == (str(tmp_path / "get-latest"), "./web")
    assert found.timeout == 5.0


@pytest.mark.parametrize("argv", ["get-latest web", [], [""], ["a", 1], ["a\0b"], None])
def test_a_command_is_never_a_shell_line(argv: object) -> None:
    """What a shell would make of it is not for us to find out."""
    assert list(faults_of("workloads.web.track", {"command": argv})) == [
        "workloads.web.track.command"
    ]


@pytest.mark.parametrize(
    ("given", "argvs"),
    [(["a", "b"], (("a", "b"),)), ([["a"], ["b", "c"]], (("a",), ("b", "c"))), ([], ())],
)
def test_hooks_are_one_command_or_several(given: object, argvs: object) -> None:
    """`before: [argv]` as the issue writes it, and a list of them."""
    hooks = good("workloads.web.hooks", {"before": given, "timeout": "9s"}).workloads["web"].hooks
    assert (hooks.before, hooks.after, hooks.timeout) == (argvs, (), 9.0)


@pytest.mark.parametrize(("given", "kept"), [(2, 2), (10, 10), ("all", None)])
def test_former_releases_are_kept_by_number_or_all(given: object, kept: int | None) -> None:
    """The current and the previous one are two."""
    assert good("workloads.web.keep", given).workloads["web"].keep == kept


@pytest.mark.parametrize("keep", [0, 1, -1, 1001, "none", None, True, "2"])
def test_fewer_than_the_current_and_the_previous_are_refused(keep: object) -> None:
    """A rollback needs the previous one."""
    found = faults_of("workloads.web.keep", keep)
    assert "from 2 to 1000, or all" in found["workloads.web.keep"]


@pytest.mark.parametrize("policy", [None, {}, "none", False, "minimum_age"])
def test_policies_are_a_list(policy: object) -> None:
    """Fails closed: images would run that the user believes to be refused."""
    assert list(faults_of("workloads.web.policy", policy)) == ["workloads.web.policy"]


def test_compose_needs_to_know_where_the_project_is() -> None:
    """A file, a directory with compose's own names, or the document itself."""
    assert "needs file, inline, or directory" in str(faults_of("workloads.web.compose", {}))


def test_a_compose_directory_is_enough(tmp_path: Path) -> None:
    """Then compose reads what it always reads there: compose.yaml, its override, .env."""
    project = good("workloads.web.compose", {"directory": str(tmp_path)}).workloads["web"].project
    assert (project.directory, project.files, project.inline) == (tmp_path, (), None)


def test_several_compose_files_keep_their_order(tmp_path: Path) -> None:
    """Later files override earlier ones."""
    for name in ("a.yml", "b.yml"):
        (tmp_path / name).touch()
    compose = {"file": ["b.yml", "a.yml"]}
    project = good("workloads.web.compose", compose, tmp_path / "c.yml").workloads["web"].project
    assert project.files == (tmp_path / "b.yml", tmp_path / "a.yml")


@pytest.mark.parametrize(
    ("compose", "key"),
    [
        ({"file": "no.yml"}, ".file"),
        ({"file": []}, ".file"),
        ({"file": [5]}, ".file"),
        ({"directory": "no"}, ".directory"),
        ({"inline": {}}, ".inline"),
        ({"inline": {"services": {}}}, ".inline"),
        ({"inline": {"services": {"a": "b"}}}, ".inline"),
        ({"inline": {"services": ["a"]}}, ".inline"),
        ({"inline": {"services": {"a": {}}}, "services": ["b"]}, ".services"),
        ({"inline": {"services": {"a": {}}}, "project": "Web"}, ".project"),
        ({"inline": {"services": {"a": {}}}, "project": "dstack"}, ".project"),
        ({"inline": {"services": {"a": {}}}, "file": __file__}, ""),
    ],
)
def test_what_is_no_compose_project_is_refused(compose: object, key: str) -> None:
    """At `check`, not in the middle of a deployment."""
    assert f"workloads.web.compose{key}" in faults_of("workloads.web.compose", compose)


def test_the_reserved_project_name_is_refused_as_default_too() -> None:
    """A workload that is called like the platform's own project would replace it."""
    text = with_changes(
        {
            "workloads.dstack": {
                "image": "a/b",
                "track": "none",
                "compose": {"inline": {"services": {"a": {}}}},
            }
        }
    )
    assert list(faults(text)) == ["workloads.dstack.compose.project"]


def _sharing(*projects: tuple[str, list[str]]) -> str:
    """Workloads w0, w1, ... of one project `p`, by image and services."""
    workloads = {
        f"w{number}": {
            "image": image,
            "track": "none",
            "compose": {"directory": "/", "project": "p", **({"services": names} if names else {})},
        }
        for number, (image, names) in enumerate(projects)
    }
    return with_changes({"workloads": workloads, "sources.ci.workloads": LEFT_OUT})


@pytest.mark.parametrize(
    "projects",
    [
        [("a/a", ["x"]), ("a/b", ["y"]), ("a/c", ["y"])],
        [("a/a", []), ("a/b", []), ("a/b", [])],
        [("a/b", ["x"]), ("a/b", [])],
        [("a/b", []), ("a/b", ["x"])],
    ],
)
def test_two_workloads_never_own_one_service(projects: list[tuple[str, list[str]]]) -> None:
    """They would undo each other's pins for ever; the last of each list is the one at fault."""
    assert list(faults(_sharing(*projects))) == [f"workloads.w{len(projects) - 1}.compose"]


def test_workloads_may_share_a_project_by_services() -> None:
    """One compose file with an application and its proxy, each following its own image."""
    settings = read(_sharing(("a/a", ["x"]), ("a/b", ["y"]), ("a/c", [])))
    assert list(settings.workloads) == ["w0", "w1", "w2"]
