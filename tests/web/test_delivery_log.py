"""A delivery has one line in the log: the launcher's own, in the place of the access log's."""

import logging

import pytest
from flask import Flask, request

from tests.builders import GITHUB_SECRET, Edge
from tests.sources.senders import mac, recorded
from webhook_launcher.web.hooks import LOGGED

PUSH = recorded("github").body


def told_of(app: Flask, path: str, secret: str) -> bool:
    """Whether the access log is told to leave a push to that path out."""
    seen: list[bool] = []

    @app.teardown_request
    def look(_: BaseException | None) -> None:
        seen.append(LOGGED in request.environ)

    headers = {"X-GitHub-Event": "package", "X-Hub-Signature-256": mac(PUSH, secret.encode())}
    app.test_client().post(path, data=PUSH, headers=headers)
    return seen[-1]


@pytest.mark.parametrize("secret", [GITHUB_SECRET, "a guess"])
def test_accepted_or_refused_it_is_told_once(
    edge: Edge, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, secret: str
) -> None:
    """A second line in another format costs a third of what receiving costs, and says less."""
    monkeypatch.setattr(logging.getLogger("webhook_launcher"), "propagate", True)
    with caplog.at_level(logging.INFO, "webhook_launcher"):
        assert told_of(edge.app, "/hooks/ghcr", secret)
    [line] = [one for one in caplog.records if one.getMessage().startswith("delivery")]
    assert vars(line)["source"] == "ghcr"
    assert vars(line)["client"] == "127.0.0.1"


def test_what_is_no_delivery_is_left_to_the_access_log(edge: Edge) -> None:
    """Or nobody would ever see who tries paths."""
    assert not told_of(edge.app, "/hooks/unknown", GITHUB_SECRET)
