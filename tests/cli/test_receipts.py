"""`receipts`: verify, export and key, on files, on a state directory, and with a launcher."""

import io
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.builders import CONFIGURATION, D1, D2, changed
from tests.cli.conftest import Command, Ended, Remote
from tests.receipts import KEY, OTHER_KEY, chain, chain_of, ended
from webhook_launcher.core.receipts import Head


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    """Five receipts, as `receipts export` writes them."""
    return written(tmp_path / "chain.jsonl", chain_of(5))


@pytest.fixture
def public(tmp_path: Path) -> str:
    """The public key that signed them."""
    (tmp_path / "key.pub").write_bytes(KEY.public.pem)
    return str(tmp_path / "key.pub")


def written(path: Path, envelopes: list[bytes]) -> Path:
    """One envelope per line."""
    path.write_bytes(b"".join(envelope + b"\n" for envelope in envelopes))
    return path


def configuration(directory: Path, **changes: object) -> str:
    """A configuration file beside the state directory of the `remote` launcher."""
    path = directory / "config.yml"
    path.write_text(json.dumps(changed(CONFIGURATION, changes)))
    return str(path)


class TestVerify:
    def test_a_whole_chain_is_told_with_its_head_and_key(
        self, command: Command, exported: Path, public: str
    ) -> None:
        """Exit 0; the head is in the form that --head takes."""
        told = command("receipts", "verify", str(exported), "--public-key", public)
        head = Head.of(5, chain_of(5)[-1])
        assert told.status == 0
        assert told.out.splitlines() == [
            "whole: 5 receipts",
            f"head: {head}",
            f"signed by: {KEY.public.id}",
        ]
        again = ("receipts", "verify", str(exported), "--public-key", public, "--head", str(head))
        assert json.loads(command(*again, "--json").out) == {
            "whole": True,
            "receipts": 5,
            "head": str(head),
            "keys": [KEY.public.id],
        }

    def test_the_first_break_is_named(self, command: Command, exported: Path, public: str) -> None:
        """By number, deployment and what is wrong; exit 1."""
        envelopes = chain_of(5)
        written(exported, [*envelopes[:2], *envelopes[3:]])
        verify = ("receipts", "verify", str(exported), "--public-key", public)
        told = command(*verify)
        assert (told.status, told.out) == (1, "")
        assert told.err.splitlines()[0] == (
            "error: receipt 3 (deployment d4): out of order: it says that it is number 4"
        )
        document = command(*verify, "--json")
        assert document.status == 1
        found = json.loads(document.out)
        assert (found["whole"], found["code"]) == (False, "broken-chain")
        assert (found["sequence"], found["deployment"]) == (3, "d4")

    def test_what_is_missing_at_the_end_is_found_by_a_head(
        self, command: Command, exported: Path, public: str
    ) -> None:
        """Which was noted elsewhere; without one, a shorter chain is whole."""
        envelopes = chain_of(5)
        written(exported, envelopes[:3])
        verify = ("receipts", "verify", str(exported), "--public-key", public)
        assert command(*verify).status == 0
        heads = [str(Head.of(number, envelopes[number - 1])) for number in (2, 5)]
        told = command(*verify, "--head", heads[0], "--head", heads[1])
        assert told.status == 1
        assert "receipt 4: it is missing: the given head is 5" in told.err

    def test_a_rotated_key_needs_both(
        self, command: Command, tmp_path: Path, exported: Path, public: str
    ) -> None:
        """--public-key may be repeated."""
        written(exported, chain(ended(1), ended(2), keys=(KEY, OTHER_KEY)))
        (tmp_path / "other.pub").write_bytes(OTHER_KEY.public.pem)
        verify = ("receipts", "verify", str(exported), "--public-key", public)
        told = command(*verify)
        assert told.status == 1
        assert f"another key: {OTHER_KEY.public.id}" in told.err
        assert command(*verify, "--public-key", str(tmp_path / "other.pub")).status == 0

    def test_standard_input_is_a_file_too(
        self, command: Command, exported: Path, public: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """`receipts export | receipts verify -`, from one machine to another."""
        stdin = SimpleNamespace(buffer=io.BytesIO(exported.read_bytes()))
        monkeypatch.setattr(sys, "stdin", stdin)
        told = command("receipts", "verify", "-", "--public-key", public)
        assert told.out.startswith("whole: 5 receipts\n")

    def test_an_empty_file_is_whole_and_says_so(
        self, command: Command, exported: Path, public: str
    ) -> None:
        """So that nobody takes the wrong file for a good one."""
        exported.write_bytes(b"")
        told = command("receipts", "verify", str(exported), "--public-key", public)
        assert (told.status, told.out) == (0, "whole, and empty: there is no receipt\n")

    @pytest.mark.parametrize("content", [b"\n", b"x" * 3_000_000, b"\xff\x00", b"{}\n{}\n"])
    def test_a_file_of_something_else_is_broken_at_its_beginning(
        self, command: Command, exported: Path, public: str, content: bytes
    ) -> None:
        """Whatever its size and its bytes."""
        exported.write_bytes(content)
        told = command("receipts", "verify", str(exported), "--public-key", public)
        assert told.status == 1
        assert told.err.startswith("error: receipt 1: ")

    def test_text_in_a_forged_receipt_cannot_drive_the_terminal(
        self, command: Command, exported: Path, public: str
    ) -> None:
        """The deployment that a broken receipt claims comes from whoever wrote it."""
        forged = chain(ended(1), keys=(OTHER_KEY,))[0]
        forged = forged.replace(b'"keyid":"', b'"keyid":"\\u001b[2J')
        written(exported, [forged])
        told = command("receipts", "verify", str(exported), "--public-key", public)
        assert told.status == 1
        assert "\x1b" not in told.err

    @pytest.mark.parametrize(
        "arguments",
        [
            ["missing.jsonl", "--public-key", "{public}"],
            ["{exported}", "--public-key", "missing.pub"],
            ["{exported}", "--public-key", "{exported}"],
            ["{exported}", "--public-key", "{public}", "--head", "5"],
        ],
    )
    def test_what_cannot_be_read_is_a_usage_error(
        self, command: Command, exported: Path, public: str, arguments: list[str]
    ) -> None:
        """Exit 2: neither whole nor broken."""
        given = [one.format(exported=exported, public=public) for one in arguments]
        assert command("receipts", "verify", *given).status == 2

    def test_without_an_action_it_is_a_usage_error(self, command: Command) -> None:
        """With the list of them."""
        told = command("receipts")
        assert told.status == 2
        assert "ACTION" in told.err


class TestStateDirectory:
    def test_it_is_verified_exported_and_verified_elsewhere(
        self, command: Command, remote: Remote, tmp_path: Path
    ) -> None:
        """While a launcher runs there; the public key goes with the export."""
        for digest in (D1, D2):
            remote.edge.deployed("web", digest)
        config = configuration(tmp_path)
        assert command("receipts", "verify", "--config", config).out.startswith("whole: 2 rec")
        export, key = tmp_path / "export", tmp_path / "key"
        export.write_text(command("receipts", "export", "--config", config).out)
        key.write_text(command("receipts", "key", "--config", config).out)
        told = command("receipts", "verify", str(export), "--public-key", str(key))
        assert told.out.startswith("whole: 2 receipts\n")
        rest = command("receipts", "export", "--config", config, "--after", "1").out
        assert rest == export.read_text().splitlines()[1] + "\n"

    def test_a_given_key_is_the_one_that_is_printed_and_verifies(
        self, command: Command, remote: Remote, tmp_path: Path
    ) -> None:
        """Before and after a rotation: the former one's public half is in the state directory."""
        remote.edge.deployed("web", D1)
        (tmp_path / "given.key").write_bytes(KEY.pem)
        config = configuration(tmp_path, **{"receipts.key_file": "given.key"})
        assert command("receipts", "key", "--config", config).out == KEY.public.pem.decode()
        shown = json.loads(command("receipts", "key", "--config", config, "--json").out)
        assert shown == {"key": KEY.public.id, "public_key": KEY.public.pem.decode()}
        assert command("receipts", "verify", "--config", config).status == 0

    @pytest.mark.parametrize("action", ["verify", "key"])
    def test_where_no_launcher_has_run_that_is_said(
        self, command: Command, tmp_path: Path, action: str
    ) -> None:
        """A wrong `state` must not look like a chain without receipts."""
        told = command("receipts", action, "--config", configuration(tmp_path))
        assert told.status == 2
        assert "there is no key of receipts in" in told.err
        assert command("receipts", "export", "--config", configuration(tmp_path)).status == 1


class TestLauncher:
    @pytest.fixture
    def ask(self, command: Command, remote: Remote) -> Command:
        """A command with the launcher's address and the admin token."""

        def asked(*argv: str) -> Ended:
            return command(*argv, "--url", remote.url, "--token-file", str(remote.token))

        return asked

    def test_an_export_over_http_is_the_same(
        self, ask: Command, command: Command, remote: Remote, tmp_path: Path
    ) -> None:
        """Over as many pages as it takes, and from where one left off."""
        for _ in range(502):
            remote.edge.deployed("web", D1)
        config = configuration(tmp_path)
        here = command("receipts", "export", "--config", config).out
        assert ask("receipts", "export").out == here
        assert len(here.splitlines()) == 502
        rest = ask("receipts", "export", "--after", "500").out
        assert rest.splitlines() == here.splitlines()[500:]

    def test_an_export_that_was_cut_off_is_found_by_asking_the_launcher(
        self, ask: Command, remote: Remote, tmp_path: Path
    ) -> None:
        """Its head is the one to reach."""
        for _ in range(3):
            remote.edge.deployed("web", D1)
        export, key = tmp_path / "export", tmp_path / "pub"
        key.write_bytes(remote.edge.journal.receipts.key.pem)
        verify = ("receipts", "verify", str(export), "--public-key", str(key))
        export.write_text(ask("receipts", "export").out)
        assert ask(*verify).status == 0
        export.write_text("".join(export.read_text().splitlines(keepends=True)[:2]))
        told = ask(*verify)
        assert told.status == 1
        assert "receipt 3: it is missing" in told.err

    def test_a_launcher_without_receipts_has_no_head(
        self, ask: Command, command: Command, remote: Remote, tmp_path: Path
    ) -> None:
        """Its first deployment is still to come."""
        key = tmp_path / "pub"
        key.write_bytes(remote.edge.journal.receipts.key.pem)
        (tmp_path / "empty").touch()
        verify = ("receipts", "verify", str(tmp_path / "empty"), "--public-key", str(key))
        assert ask(*verify).status == 0
        assert ask("receipts", "export").out == ""
        assert ask("status").out.splitlines()[-1] == "receipts: none"

    def test_status_ends_with_the_head(self, ask: Command, remote: Remote) -> None:
        """In full, to be noted elsewhere; scripts find it in --json."""
        remote.edge.deployed("web", D1)
        head = remote.edge.journal.receipts.head()
        assert ask("status").out.splitlines()[-1] == f"receipts: {head}"
        found = json.loads(ask("status", "--json").out)["receipts"]
        assert f"{found['sequence']}:{found['sha256']}" == str(head)

    def test_what_is_no_launcher_gives_no_export(
        self, command: Command, remote: Remote, tmp_path: Path
    ) -> None:
        """An empty file must not look like a chain without receipts."""
        wrong = tmp_path / "wrong"
        wrong.write_text("not-the-admin-token-of-it")
        told = command("receipts", "export", "--url", remote.url, "--token-file", str(wrong))
        assert (told.status, told.out) == (1, "")
        url = f"{remote.url}/healthz"
        told = command("receipts", "export", "--url", url, "--token-file", str(remote.token))
        assert (told.status, told.out) == (1, "")
