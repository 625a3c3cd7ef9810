"""Recorded deliveries: the newest of each source, without what proves who sent them."""

import base64
import json
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from tests.sources.senders import NOW, mac, recorded, secrets, source, with_headers
from webhook_launcher.adapters.recorder import Recorder
from webhook_launcher.app import Service, build
from webhook_launcher.cli import run
from webhook_launcher.config import parse
from webhook_launcher.core.source import Delivery
from webhook_launcher.sources import KINDS

CANARY = "canary-5e1f0d7c9b"
DELIVERY = Delivery({"content-type": "application/json"}, b'{"a": 1}')


def files(directory: Path) -> list[str]:
    """The names in it, oldest first."""
    return sorted(path.name for path in directory.iterdir())


class TestWhatIsKept:
    def test_is_the_newest_of_each_source(self, tmp_path: Path) -> None:
        """A busy source must not push out the one delivery of a quiet one."""
        recorder = Recorder(tmp_path, 3)
        recorder.record(source("quay", name="quiet"), DELIVERY, NOW)
        for second in range(10):
            recorder.record(source("quay", name="busy"), DELIVERY, NOW + timedelta(seconds=second))
        names = files(tmp_path)
        assert [name.partition(".")[0] for name in names] == ["busy"] * 3 + ["quiet"]
        assert names[0].startswith("busy.20260301T120007.")

    def test_of_a_source_is_not_that_of_one_whose_name_begins_alike(self, tmp_path: Path) -> None:
        """`ci` and `ci-2` share a directory."""
        recorder = Recorder(tmp_path, 1)
        for name in ("ci-2", "ci"):
            recorder.record(source("quay", name=name), DELIVERY, NOW)
        assert len(files(tmp_path)) == 2

    def test_is_for_us_alone(self, tmp_path: Path) -> None:
        """Names of images and people are in it."""
        directory = tmp_path / "made" / "here"
        Recorder(directory, 1).record(source("quay"), DELIVERY, NOW)
        [file] = directory.iterdir()
        assert directory.stat().st_mode & 0o077 == 0
        assert file.stat().st_mode & 0o077 == 0

    def test_is_whole_or_not_there(self, tmp_path: Path) -> None:
        """What a killed launcher leaves half-written has another name, and is no recording."""
        (tmp_path / ".quay.20260301T120000.000000Z.00000000.http").touch()
        Recorder(tmp_path, 1).record(source("quay"), DELIVERY, NOW)
        assert len(list(tmp_path.glob("quay.*.http"))) == 1

    def test_is_the_exact_body(self, tmp_path: Path) -> None:
        """A MAC is over bytes; one line feed less and the replay fails."""
        body = b'{"a": "\xff"}\r\n\r\n\n'
        Recorder(tmp_path, 1).record(source("quay"), Delivery({"a": "b"}, body), NOW)
        [file] = tmp_path.iterdir()
        assert file.read_bytes() == b"POST /hooks/quay HTTP/1.1\r\na: b\r\n\r\n" + body


class TestCredentials:
    @pytest.mark.parametrize(
        "header", ["authorization", "x-gitlab-token", "x-jfrog-event-auth", "cookie", "x-own"]
    )
    def test_in_a_header_are_left_out(self, tmp_path: Path, header: str) -> None:
        """Whatever they are: of another tenant, or one that is not configured any more."""
        basic = "Basic " + base64.b64encode(CANARY.encode()).decode()
        delivery = Delivery({header: basic}, b"{}")
        Recorder(tmp_path, 1).record(source("harbor", header="X-Own"), delivery, NOW)
        _has_no_canary(tmp_path, basic)

    def test_in_the_body_or_any_header_are_left_out(self, tmp_path: Path) -> None:
        """Gitea once sent the secret in its body; a proxy may copy a header under its own name."""
        delivery = Delivery({"x-copy": f"a{CANARY}b"}, f'{{"secret": "{CANARY}"}}'.encode())
        given = source("gitea", secrets=secrets(b"canary", CANARY.encode()))
        Recorder(tmp_path, 1).record(given, delivery, NOW)
        _has_no_canary(tmp_path)

    def test_in_the_url_are_left_out(self, tmp_path: Path) -> None:
        """For unsigned senders the URL is the secret."""
        delivery = Delivery({"referer": f"https://x/hooks/hub/{CANARY}"}, b"{}", CANARY)
        given = source("dockerhub", tokens=secrets(CANARY.encode()))
        Recorder(tmp_path, 1).record(given, delivery, NOW)
        _has_no_canary(tmp_path)

    def test_a_mac_is_kept(self, tmp_path: Path) -> None:
        """It gives nothing away, and replay can verify the delivery by it."""
        made = mac(b"{}")
        delivery = Delivery({"x-hub-signature-256": made}, b"{}")
        Recorder(tmp_path, 1).record(source("github"), delivery, NOW)
        [file] = tmp_path.iterdir()
        assert made in file.read_text()


def _has_no_canary(directory: Path, *more: str) -> None:
    [file] = directory.iterdir()
    text = file.read_text()
    assert "<redacted>" in text
    assert not [word for word in (CANARY, *more) if word in text]


CONFIGURATION = {
    "state": "state",
    "poll": {"every": "off"},
    "record": {"directory": "recordings"},
    "sources": {
        "ghcr": {"kind": "github", "secret": CANARY},
        "hub": {"kind": "dockerhub", "token": f"{CANARY}-of-the-url"},
    },
    "workloads": {
        "web": {
            "image": "ghcr.io/acme/web",
            "track": {"tag": "stable"},
            "compose": {"inline": {"services": {"web": {}}}},
        }
    },
}


class TestALauncherThatRecords:
    @pytest.fixture
    def config(self, tmp_path: Path) -> Path:
        """Its configuration, as a file."""
        file = tmp_path / "config.yml"
        file.write_text(json.dumps(CONFIGURATION))
        return file

    @pytest.fixture
    def http(self, config: Path) -> Iterator[FlaskClient]:
        """A client of the whole service; its loops are not started."""
        service: Service = build(parse(config.read_text(), config, KINDS))
        yield service.app.test_client()
        service.journal.close()

    def push(self, http: FlaskClient, secret: str = CANARY) -> int:
        """A push as GitHub sends it."""
        sent = recorded("github")
        signature = f"sha256={mac(sent.body, secret.encode())}"
        signed = with_headers(sent, x_hub_signature_256=signature)
        return http.post("/hooks/ghcr", data=signed.body, headers=dict(signed.headers)).status_code

    def test_keeps_what_was_accepted_and_it_replays_with_the_same_outcome(
        self, http: FlaskClient, config: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """That is what recordings are for: signature and all, without the sender."""
        assert self.push(http) == 202
        [file] = (config.parent / "recordings").iterdir()
        argv = ["replay", str(file), "--config", str(config), "--source", "ghcr", "--json"]
        assert run(argv) == 0
        told = json.loads(capsys.readouterr().out)
        assert (told["outcome"], told["workloads"]) == ("intent", ["web"])

    def test_keeps_what_was_authentic_and_could_not_be_read(
        self, http: FlaskClient, config: Path
    ) -> None:
        """The one delivery that somebody wants to look at."""
        assert http.post(f"/hooks/hub/{CANARY}-of-the-url", data=b"{").status_code == 400
        [file] = (config.parent / "recordings").iterdir()
        assert file.name.startswith("hub.")
        assert CANARY not in file.read_text()

    def test_keeps_nothing_of_strangers(self, http: FlaskClient, config: Path) -> None:
        """They could fill the disk, and push out what matters."""
        assert self.push(http, "a guess") == 401
        assert http.post("/hooks/hub/guess", data=b"{}").status_code == 401
        assert not (config.parent / "recordings").exists()

    def test_accepts_deliveries_also_when_it_cannot_record_them(
        self, http: FlaskClient, config: Path
    ) -> None:
        """Recording is for debugging. A file stands where the directory should be."""
        (config.parent / "recordings").touch()
        assert self.push(http) == 202
        with suppress(OSError):
            (config.parent / "recordings").unlink()
        assert self.push(http) == 200  # the same again: it was accepted the first time
