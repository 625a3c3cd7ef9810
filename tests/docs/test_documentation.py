"""The documentation against the code: what is written is there, and what is there is written."""

import argparse
import ast
import re
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.config.faults import good
from tests.keyless import Sigstore
from tests.signing import Signer
from webhook_launcher import cli
from webhook_launcher.app import build
from webhook_launcher.config import parse
from webhook_launcher.core import errors
from webhook_launcher.core.dsse import generate_key
from webhook_launcher.sources import KINDS

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "webhook_launcher"
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
# Any valid key: the documents write `whpk_…` where yours belongs.
PUBLIC_KEY = "whpk_iwMwjQ4JN1rHURfS0I80TuYM8u9V1Fkqur5iM4jdkQE="
SECRETS = {
    "receipts.key": generate_key().pem.decode(),
    "ci": "whsec_c2VjcmV0LW9mLXRoaXMtdGVzdC1vbmx5LTEyMzQ=",
    "default": "a-secret-of-this-test-only",
}
WAYS = {"secret", "token", "password", "public_key", "key"}  # written as X, X_file, or a list of Xs


def read(name: str) -> str:
    """A file of the project."""
    return (ROOT / name).read_text("utf-8")


def section(text: str, title: str) -> str:
    """What stands under a heading, until the next of its level."""
    marks, _, name = title.partition(" ")
    found = re.search(rf"(?ms)^{marks} {re.escape(name)}\n(.*?)(?=^#{{1,{len(marks)}}} |\Z)", text)
    assert found, f"there is no section {title!r}"
    return found[1]


def rows(text: str) -> Iterator[list[str]]:
    """The cells of every table's rows."""
    for line in text.splitlines():
        if line.startswith("|") and not set(line) <= set("|- "):
            yield [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def blocks(text: str, language: str) -> list[str]:
    """Fenced blocks of a language."""
    return re.findall(rf"(?ms)^```{language}\n(.*?)^```$", text)


def words_in_code(text: str) -> set[str]:
    """Everything between backticks."""
    return set(re.findall(r"`([^`\n]+)`", text))


def string_arguments(path: Path, functions: set[str]) -> set[str]:
    """The texts that a module gives to the named functions or methods."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else None
        name = node.func.id if isinstance(node.func, ast.Name) else name
        if name in functions:
            texts = [arg.value for arg in node.args if isinstance(arg, ast.Constant)]
            found |= {text for text in texts if isinstance(text, str)}
    return found


def codes_of(error: type[errors.LauncherError]) -> set[str]:
    """Its code and those of every error below it, the command line's too."""
    return {error.code}.union(*(codes_of(below) for below in error.__subclasses__()))


def configuration_keys() -> set[str]:
    """Every key that the configuration file may have."""
    readers = {"take", "section", "sections", "items"}
    readers |= {"read_secret", "read_token", "read_secrets", "read_tokens"}
    found = set().union(
        *(string_arguments(path, readers) for path in (PACKAGE / "config").glob("*.py"))
    )
    return (found - {""}) | {option for kind in KINDS.values() for option in kind.options}


def with_dummies(text: str, directory: Path) -> str:
    """A configuration whose files exist: secrets, compose files, and a key in place of dots."""
    for name in re.findall(r"_file: ([\w./-]+)", text):
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".pub":
            path.write_bytes(Signer().pem)
            continue
        path.write_text(SECRETS.get(path.name, SECRETS["default"]) + "\n")
    for name in re.findall(r"\btrusted_root: ([\w./-]+)", text):
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(Sigstore().trusted_root())
    for name in re.findall(r"\bfile: ([\w./-]*compose\.yml)", text):
        path = directory / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("services: {}\n")
    text = re.sub(r"\bfile: /(?=[\w./-]*compose\.yml)", "file: ", text)
    return re.sub(r'"?whpk_…"?', f'"{PUBLIC_KEY}"', text)


# ── senders ──────────────────────────────────────────────────────────────────────────────────


def sender_rows() -> Mapping[str, list[str]]:
    """The authentication table, by kind."""
    text = section(read("docs/senders.md"), "## What the authentication of each kind is worth")
    return {
        found[1]: cells for cells in rows(text) if (found := re.match(r"\[([\w-]+)\]\(#", cells[0]))
    }


def test_every_kind_has_one_row_and_no_row_is_of_nothing() -> None:
    """Somebody who chooses a sender must see what its authentication is worth."""
    assert set(sender_rows()) == set(KINDS)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_the_examples_of_a_kind_are_valid_sources(kind: str, tmp_path: Path) -> None:
    """What is copied from the documentation must pass `check`."""
    text = section(read("docs/senders.md"), f"## {kind}")
    examples = [block for block in blocks(text, "yaml") if f"kind: {kind}\n" in block]
    assert examples
    configuration = "workloads: {web: {image: ghcr.io/acme/web, track: none, compose: "
    configuration += "{inline: {services: {app: {}}}}}}\nsources:\n"
    configuration += "".join(f"  {line}\n" for text in examples for line in text.splitlines())
    settings = parse(with_dummies(configuration, tmp_path), tmp_path / "config.yml", KINDS)
    assert [source.kind for source in settings.sources.values()] == [kind] * len(examples)


def test_the_kinds_that_are_answered_200_are_named() -> None:
    """Whoever wonders why a bad delivery was answered 200 must find it."""
    (cells,) = (c for c in rows(read("docs/senders.md")) if c[0].startswith("200 instead"))
    assert words_in_code(cells[1]) == {k.name for k in KINDS.values() if k.punishes_errors}


# ── configuration ────────────────────────────────────────────────────────────────────────────


def test_every_key_is_documented() -> None:
    """A key that is not written down is found by reading the code only."""
    known = {
        word
        for words in words_in_code(read("docs/configuration.md"))
        for word in re.findall(r"\w+", words)
    }
    assert configuration_keys() - known == set()


def test_the_complete_example_has_every_key() -> None:
    """It says that it has."""
    text = read("examples/config.yml")
    for key in configuration_keys() - {o for k in KINDS.values() for o in k.options}:
        base = key.removesuffix("_file").removesuffix("s")
        spellings = rf"{base}|{base}_file|{base}s" if base in WAYS else key
        assert re.search(rf"\b(?:{spellings}):", text), f"{key} is not in examples/config.yml"


@pytest.mark.parametrize("extras", [False, True])
def test_the_complete_example_passes_check(tmp_path: Path, extras: bool) -> None:
    """By the command, as a user checks it; with secret files that exist.

    What needs an extra is commented out, and right as well.
    """
    path, text = tmp_path / "config.yml", read("examples/config.yml")
    text = re.sub(r"(?m)^( +)# (- attested_by:|    \w+: )", r"\1\2", text) if extras else text
    assert ("attested_by" in str(yaml.safe_load(text))) == extras
    path.write_text(with_dummies(text, tmp_path))
    done = subprocess.run(
        [sys.executable, "-m", "webhook_launcher", "check", "--config", str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["README.md", "docs/configuration.md"])
def test_whole_configurations_in_the_text_are_valid(name: str, tmp_path: Path) -> None:
    """The five-minute start must not end at `check`."""
    whole = [b for b in blocks(read(name), "yaml") if re.search(r"(?m)^workloads:$", b)]
    assert whole
    for text in whole:
        parse(with_dummies(text, tmp_path), tmp_path / "config.yml", KINDS)


# ── operations ───────────────────────────────────────────────────────────────────────────────


def test_the_examples_of_attested_by_are_valid(tmp_path: Path) -> None:
    """Whoever copies one must not end at `check`."""
    text = section(read("docs/configuration.md"), "#### `attested_by`")
    found = [yaml.safe_load(block) for block in blocks(text, "yaml")]
    lists = [one for one in found if isinstance(one, list)]
    assert len(lists) == 2  # GitHub's and GitLab's; the rest are steps of a workflow
    for policies in lists:
        good("workloads.web.policy", policies, tmp_path / "config.yml")


def test_every_error_code_has_a_line() -> None:
    """A code in a log or an answer is looked up; it must be found."""
    text = section(read("docs/operations.md"), "## Error codes")
    written = set().union(*(words_in_code(cells[0]) for cells in rows(text)))
    own = {e for e in errors.LauncherError.__subclasses__() if e.__module__.startswith("webhook_")}
    assert {errors.LauncherError.code}.union(*map(codes_of, own)) - written == set()


def test_every_log_event_has_a_line() -> None:
    """Alerts are written against these names."""
    levels = {"info", "warning", "error", "critical", "exception"}
    used: set[str] = set()
    for path in PACKAGE.rglob("*.py"):
        if "_log = " in path.read_text("utf-8"):
            used |= string_arguments(path, levels)
    written = words_in_code(section(read("docs/operations.md"), "## Logs"))
    assert used - written == set()


def test_the_units_stop_leaves_time_for_gunicorns() -> None:
    """An init system that kills first would cut every deployment off."""
    unit = read("examples/systemd/webhook-launcher.service")
    graceful = re.search(r"(?m)^graceful_timeout = (\d+)", read("webhook_launcher/serving.py"))
    stop = re.search(r"(?m)^TimeoutStopSec=(\d+)$", unit)
    assert graceful
    assert stop
    assert int(stop[1]) > int(graceful[1])
    assert "\nKillMode=mixed\n" in unit


def test_the_unit_reloads_by_the_command() -> None:
    """It waits, and fails with every problem; a bare signal would end with success whatever came.

    The unit's user is the launcher's, who may send the signal.
    """
    unit = read("examples/systemd/webhook-launcher.service")
    reloads = re.findall(r"(?m)^ExecReload=(.*)$", unit)
    assert reloads == ["/opt/webhook-launcher/bin/webhook-launcher reload"]


TEXTS = {".md", ".py", ".sh", ".yml", ".yaml", ".service", ".json", ".toml"}
# Docker takes a container for stopped by hand after any signal that the engine delivers.
THROUGH_THE_ENGINE = re.compile(
    r"docker[^\n|;&`]*\bkill\b[^\n|;&`]*(?:-s|--signal)\b|\bkill\b[^\n]*\bSIGHUP\b[^\n]*\bdocker\b"
    r"|[\"']kill[\"'],[^\n]*[\"'](?:-s|--signal)"
)


def test_nobody_sends_a_signal_through_the_engine() -> None:
    """After one, `restart: unless-stopped` no longer restarts the launcher: dead at the next crash.

    Neither a document nor a script may show how.
    """
    below = ("docs", "examples", "dev", "tests", "bench", ".ci", "webhook_launcher")
    files = [path for name in below for path in (ROOT / name).rglob("*.*")]
    texts = [path for path in files if path.suffix in TEXTS]
    assert len(texts) > 300
    for path in [*texts, *(path for path in ROOT.iterdir() if path.is_file())]:
        if path == Path(__file__):
            continue
        found = THROUGH_THE_ENGINE.search(path.read_text("utf-8", "replace"))
        assert found is None, f"{path}: {found}"


@pytest.mark.parametrize(
    "text",
    [
        "docker compose kill --signal HUP launcher",
        "docker kill -s HUP launcher",
        "docker kill --signal=SIGHUP launcher",
        'host.docker("kill", "--signal", "HUP", name)',
    ],
)
def test_a_signal_through_the_engine_is_recognised(text: str) -> None:
    """The search above must find what it is for."""
    assert THROUGH_THE_ENGINE.search(text)


# ── README ───────────────────────────────────────────────────────────────────────────────────


def test_every_command_is_in_the_readme_with_options_that_exist() -> None:
    """The table is what a stranger reads instead of `--help`."""
    (commands,) = (
        action.choices
        for action in cli._parser()._actions
        if isinstance(action, argparse._SubParsersAction)
    )
    text = section(read("README.md"), "## Command line")
    written: dict[str, str] = {}
    for cells in rows(text):
        found = re.match(r"`webhook-launcher ([\w-]+)", cells[0])
        if found:
            written[found[1]] = cells[0]
    assert set(written) == set(commands)
    for name, cell in written.items():
        options = options_of(commands[name])
        assert set(re.findall(r"--[\w-]+", cell)) <= options, name


def options_of(command: argparse.ArgumentParser) -> set[str]:
    """Those of a command, and of its actions if it has some."""
    found = {option for action in command._actions for option in action.option_strings}
    for action in command._actions:
        if isinstance(action, argparse._SubParsersAction):
            found |= set().union(*(options_of(one) for one in action.choices.values()))
    return found


def test_every_path_is_in_the_readme(tmp_path: Path) -> None:
    """The HTTP table is the interface's list of contents."""
    text = section(read("README.md"), "## HTTP")
    configuration = f"state: {tmp_path / 'state'}\nworkloads: {{web: {{image: a.example/b, "
    configuration += "track: none, compose: {inline: {services: {app: {}}}}}}"
    service = build(parse(configuration, tmp_path / "config.yml", KINDS))
    try:
        for rule in service.app.url_map.iter_rules():
            last = rule.rule.rpartition("/")[2]
            shown = re.sub(r"<(intent|deployment)>", "<id>", rule.rule)
            assert shown in text or f"…/{last}" in text, rule.rule
    finally:
        service.journal.close()


def test_the_readmes_workflow_is_the_examples() -> None:
    """Two copies of one workflow would drift apart."""
    assert read("examples/github-actions.yml") in blocks(read("README.md"), "yaml")
    assert yaml.safe_load(read("examples/github-actions.yml"))["jobs"]


def test_the_documents_gitlab_job_is_the_examples() -> None:
    """The document shows the job that matters, shortened; what it has must be in the file."""
    text = section(read("docs/senders.md"), "### github-oidc with GitLab CI")
    shown = yaml.safe_load(blocks(text, "yaml")[1])["deploy"]
    whole = yaml.safe_load(read("examples/gitlab-ci.yml"))["deploy"]
    assert {key: whole[key] for key in shown if key != "script"} == {
        key: value for key, value in shown.items() if key != "script"
    }
    assert any(shown["script"][0].strip() in step for step in whole["script"])


# ── the rest ─────────────────────────────────────────────────────────────────────────────────


def test_the_picture_of_the_imports_is_what_is_checked() -> None:
    """import-linter holds pyproject.toml; the picture must be the same."""
    contracts = tomllib.loads(read("pyproject.toml"))["tool"]["importlinter"]["contracts"]
    layers = next(c["layers"] for c in contracts if c["name"] == "Imports point down")
    wanted = [re.sub(r"[()]", "", layer) for layer in layers]
    assert "\n".join(wanted) in read("docs/architecture.md")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_between_documents_resolve(document: Path) -> None:
    """A link that leads nowhere costs trust in the rest."""
    text = re.sub(r"(?ms)^```.*?^```$", "", document.read_text("utf-8"))
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        linked = (document.parent / name) if name else document
        assert linked.exists(), target
        if anchor:
            assert anchor in anchors(linked.read_text("utf-8")), target


def anchors(text: str) -> set[str]:
    """What a Markdown renderer calls the headings."""
    text = re.sub(r"(?ms)^```.*?^```$", "", text)
    titles = re.findall(r"(?m)^#+ (.+)$", text)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_every_decision_is_listed() -> None:
    """The list is how they are found."""
    listed = read("docs/adr/README.md")
    for record in (ROOT / "docs" / "adr").glob("0*.md"):
        assert f"({record.name})" in listed


class _Latest(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        """One line, as examples/get-latest.sh expects it."""
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"docker.io/library/nginx:1.27.2\n")

    def log_message(self, *_: Any) -> None:
        """Silent."""


@pytest.mark.parametrize("by_path", [True, False])
def test_the_tracker_script_answers_both_ways(by_path: bool, tmp_path: Path) -> None:
    """It is the seed's interface: a path to write to, or standard output."""
    server = HTTPServer(("127.0.0.1", 0), _Latest)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        written = tmp_path / "latest"
        script = str(ROOT / "examples" / "get-latest.sh")
        done = subprocess.run(
            [script, str(written)] if by_path else [script],
            env={"PATH": "/usr/bin:/bin", "LATEST_URL": f"http://127.0.0.1:{server.server_port}/"},
            capture_output=True,
            text=True,
            check=True,
        )
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert (written.read_text() if by_path else done.stdout) == "docker.io/library/nginx:1.27.2\n"
