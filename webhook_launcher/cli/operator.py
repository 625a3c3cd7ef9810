"""Commands that ask a running launcher: status, history, deploy, rollback, pause, resume."""

import argparse
import time
from pathlib import Path
from typing import Any

from webhook_launcher.cli import output
from webhook_launcher.cli.client import Client, intents_of
from webhook_launcher.cli.options import settings_of
from webhook_launcher.core.errors import CommandError

SUCCESS, FAILED, TIMED_OUT = 0, 1, 4


def add(commands: Any, common: argparse.ArgumentParser) -> None:
    """Declare the commands."""
    remote = argparse.ArgumentParser(add_help=False, parents=[common])
    remote.add_argument("--url", help="the launcher's address (default: `listen` of the config)")
    remote.add_argument("--token-file", type=Path, help="admin token (default: of the config)")
    wait = argparse.ArgumentParser(add_help=False)
    wait.add_argument("--wait", action="store_true", help="follow it to its end")
    wait.add_argument("--timeout", type=float, default=600, help="seconds to wait (600)")

    status = commands.add_parser("status", parents=[remote], help="what runs and what waits")
    status.add_argument("workload", nargs="?")
    status.set_defaults(run=_status)
    history = commands.add_parser("history", parents=[remote], help="deployments, newest first")
    history.add_argument("workload", nargs="?")
    history.add_argument("--limit", type=int, default=20)
    history.set_defaults(run=_history)
    deploy = commands.add_parser(
        "deploy", parents=[remote, wait], help="run a reference, or what is tracked"
    )
    deploy.add_argument("workload")
    deploy.add_argument("reference", nargs="?")
    deploy.set_defaults(run=_deploy)
    rollback = commands.add_parser(
        "rollback", parents=[remote, wait], help="run the previous release"
    )
    rollback.add_argument("workload")
    rollback.set_defaults(run=_rollback)
    for name, text in (("pause", "hold automatic deployments"), ("resume", "let them go on")):
        command = commands.add_parser(name, parents=[remote], help=text)
        command.add_argument("workload")
        command.set_defaults(run=_hold, action=name)


def client_of(arguments: argparse.Namespace) -> Client:
    """A client with the admin token, from the arguments or the configuration."""
    token, url = None, arguments.url
    if arguments.token_file:
        try:
            token = arguments.token_file.read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise CommandError(
                f"cannot read --token-file {arguments.token_file}", advice=str(error)
            ) from error
    if token is None or url is None:
        settings = settings_of(arguments)
        host, port = settings.listen
        host = "127.0.0.1" if host in ("0.0.0.0", "::") else host  # noqa: S104 - our own loopback
        url = url or f"http://{f'[{host}]' if ':' in host else host}:{port}"
        if token is None and settings.admin_token is None:
            raise CommandError(
                "the configuration has no admin token",
                advice="Set `admin: {token_file: …}`, or name one with --token-file.",
            )
        token = token or (settings.admin_token or b"").decode("utf-8", "replace")
    return Client(url, token)


def _status(arguments: argparse.Namespace) -> int:
    client = client_of(arguments)
    if arguments.workload:
        found = [client.get(f"/api/v1/workloads/{arguments.workload}")]
    else:
        found = client.get("/api/v1/workloads")["workloads"]
    if arguments.json:
        output.as_json(found[0] if arguments.workload else {"workloads": found})
        return SUCCESS
    rows = [
        (
            item["name"],
            item["state"],
            item["tracked"],
            output.short((item["current"] or {}).get("reference")),
            len(item["pending"]),
            item["last_check"]["result"],
        )
        for item in found
    ]
    output.table(("WORKLOAD", "STATE", "TRACKED", "CURRENT", "PENDING", "LAST CHECK"), rows)
    return SUCCESS


def _history(arguments: argparse.Namespace) -> int:
    query = {"limit": str(arguments.limit)}
    if arguments.workload:
        query["workload"] = arguments.workload
    found = client_of(arguments).get("/api/v1/deployments", **query)
    if arguments.json:
        output.as_json(found)
        return SUCCESS
    rows = [
        (
            item["started_at"],
            item["workload"],
            item["status"] + (" (rollback)" if item["rollback"] else ""),
            output.short(item["image"]["reference"]),
            f"{item['origin']['source']} ({item['origin']['trust']})",
            item["code"],
        )
        for item in found["deployments"]
    ]
    output.table(("STARTED", "WORKLOAD", "STATUS", "IMAGE", "BY", "CODE"), rows)
    return SUCCESS


def _deploy(arguments: argparse.Namespace) -> int:
    action = "deploy" if arguments.reference else "check"
    body = {"reference": arguments.reference} if arguments.reference else {}
    return _act(arguments, action, body)


def _rollback(arguments: argparse.Namespace) -> int:
    return _act(arguments, "rollback", {})


def _act(arguments: argparse.Namespace, action: str, body: dict[str, str]) -> int:
    client = client_of(arguments)
    intent = client.post(f"/api/v1/workloads/{arguments.workload}/{action}", body)["intent"]
    if not arguments.wait:
        if arguments.json:
            output.as_json(intent)
        else:
            print(f"queued: {action} of {arguments.workload} (intent {intent['id']})")
        return SUCCESS
    state = client.follow(
        lambda: client.get(f"/api/v1/intents/{intent['id']}"),
        seconds=arguments.timeout,
        now=time.monotonic,
        sleep=time.sleep,
        report=lambda _: None,
    )
    return conclude(state, as_document=arguments.json)


def conclude(state: dict[str, Any] | None, *, as_document: bool) -> int:
    """Print how it ended; 0 for success, 1 for anything else, 4 when time ran out."""
    if state is None:
        print("timed out; it goes on, see `webhook-launcher status`")
        return TIMED_OUT
    intents = intents_of(state)
    if as_document:
        output.as_json(state)
    else:
        for intent in intents:
            print(f"{intent['workload']}: {intent['status']}: {intent['detail']}")
    return SUCCESS if all(intent["status"] == "success" for intent in intents) else FAILED


def _hold(arguments: argparse.Namespace) -> int:
    found = client_of(arguments).post(f"/api/v1/workloads/{arguments.workload}/{arguments.action}")
    if arguments.json:
        output.as_json(found)
    else:
        print(f"{found['name']}: {found['state']}")
    return SUCCESS
