"""Commands that ask a running launcher: what runs, and what an operator may order."""

import argparse
import time
from typing import Any

from webhook_launcher.cli import options, output, shown
from webhook_launcher.cli.client import Client, intents_of
from webhook_launcher.cli.options import UsageError
from webhook_launcher.config import Access

SUCCESS, FAILED, TIMED_OUT = 0, 1, 4
_API = ("api", "v1")
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - where we listen -> our loopback


def add(commands: Any) -> None:
    """Declare the commands."""
    remote = with_launcher()
    wait = options.with_wait()
    status = commands.add_parser("status", parents=[remote], help="show what runs and what waits")
    status.add_argument("workload", type=options.workload, nargs="?", help="default: all")
    status.set_defaults(run=_status)
    history = commands.add_parser("history", parents=[remote], help="show deployments")
    history.add_argument("workload", type=options.workload, nargs="?", help="default: all")
    history.add_argument(
        "--limit",
        type=options.whole(1, 500),
        default=20,
        metavar="N",
        help="how many (default: 20)",
    )
    history.add_argument(
        "--evidence",
        action="store_true",
        help="with who asked, what the registry answered, what each policy said, and times",
    )
    history.set_defaults(run=_history)
    deploy = commands.add_parser(
        "deploy", parents=[remote, wait], help="run a reference, or what is tracked"
    )
    deploy.add_argument("workload", type=options.workload)
    deploy.add_argument(
        "reference",
        nargs="?",
        help="of its image: repository:tag@digest (default: what is tracked)",
    )
    deploy.set_defaults(run=_deploy)
    rollback = commands.add_parser(
        "rollback", parents=[remote, wait], help="run the previous release again"
    )
    rollback.add_argument("workload", type=options.workload)
    rollback.set_defaults(run=_rollback)
    for name, text in (
        ("pause", "hold a workload's automatic deployments"),
        ("resume", "let them go on"),
    ):
        command = commands.add_parser(name, parents=[remote], help=text)
        command.add_argument("workload", type=options.workload)
        command.set_defaults(run=_hold, action=name)
    release = commands.add_parser(
        "release-quarantine", parents=[remote], help="let a digest that failed be tried again"
    )
    release.add_argument("workload", type=options.workload)
    release.add_argument("digest", nargs="?", help="sha256:… (default: all of the workload)")
    release.set_defaults(run=_release)


def conclude(state: dict[str, Any] | None, *, as_document: bool) -> int:
    """Print how it ended; 0 for success, 1 for anything else, 4 when time ran out."""
    if state is None:
        if as_document:
            output.as_json({"timed_out": True})
        else:
            output.note("timed out; it goes on, see `webhook-launcher status`")
        return TIMED_OUT
    intents = intents_of(state)
    if as_document:
        output.as_json(state)
    else:
        for intent in intents:
            why = intent["detail"] or intent["code"]
            image = intent.get("image")  # of the attempt; an operator's detail names it already
            told = [intent["workload"], intent["status"], *([why] if why else [])]
            output.line(": ".join(told) + (f" ({image})" if image else ""))
    return SUCCESS if all(intent["status"] == "success" for intent in intents) else FAILED


def with_launcher() -> argparse.ArgumentParser:
    """A parent parser with `--url` and `--token-file`, `--config` and `--json`."""
    remote = argparse.ArgumentParser(add_help=False, parents=[options.with_config()])
    remote.add_argument(
        "--url",
        type=options.url,
        help="the launcher's address (default: `listen` of the configuration)",
    )
    remote.add_argument(
        "--token-file",
        metavar="PATH",
        help="a file with the admin token (default: `admin` of the configuration)",
    )
    return remote


def client_of(arguments: argparse.Namespace) -> Client:
    """A client with the admin token, from the arguments or else the configuration."""
    token, url = None, arguments.url
    if arguments.token_file:
        token = options.secret_in(arguments.token_file, "--token-file")
    if token is None or url is None:
        access = options.access_of(arguments)
        url = url or url_of(access)
        if token is None and access.admin_token is None:
            raise UsageError(
                "the configuration has no admin token",
                advice="Set `admin: {token_file: …}`, or name one with --token-file.",
            )
        token = token or (access.admin_token or b"").decode("ascii")
    return Client(url, token)


def url_of(access: Access) -> str:
    """Return the address at which the launcher is asked on its own machine."""
    host, port = access.listen
    host = _EVERYWHERE.get(host, host)
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def _status(arguments: argparse.Namespace) -> int:
    client = client_of(arguments)
    if arguments.workload:
        answer = client.get(*_API, "workloads", arguments.workload)
    else:
        answer = client.get(*_API, "workloads")
        answer["receipts"] = client.get(*_API, "receipts", "head")
        for about, remark in answer["notes"].items():
            output.note(f"note: {about}: {remark}")
    if arguments.json:
        output.as_json(answer)
        return SUCCESS
    if arguments.workload:
        shown.workload(answer)
        return SUCCESS
    shown.workloads(answer["workloads"])
    if head := answer.get("receipts"):
        # In full: it is copied from here to `receipts verify --head`.
        copied = f"{head['sequence']}:{head['sha256']}" if head["sequence"] else "none"
        output.line(f"receipts: {copied}")
    return SUCCESS


def _history(arguments: argparse.Namespace) -> int:
    query = {"limit": str(arguments.limit)}
    if arguments.workload:
        query["workload"] = arguments.workload
    found = client_of(arguments).get(*_API, "deployments", **query)
    if arguments.json:
        output.as_json(found)
        return SUCCESS
    if arguments.evidence:
        shown.evidence(found["deployments"])
    else:
        shown.deployments(found["deployments"])
    return SUCCESS


def _deploy(arguments: argparse.Namespace) -> int:
    body = {"reference": arguments.reference} if arguments.reference else {}
    return _act(arguments, "deploy", body)


def _rollback(arguments: argparse.Namespace) -> int:
    return _act(arguments, "rollback", {})


def _act(arguments: argparse.Namespace, action: str, body: dict[str, str]) -> int:
    client = client_of(arguments)
    answer = client.post(*_API, "workloads", arguments.workload, action, body=body)
    intent = answer["intent"]
    if not arguments.wait:
        if arguments.json:
            output.as_json(intent)
        else:
            output.line(f"queued: {action} of {arguments.workload} (intent {intent['id']})")
        return SUCCESS
    state = client.follow(
        *_API,
        "intents",
        intent["id"],
        seconds=arguments.timeout,
        now=time.monotonic,
        sleep=time.sleep,
    )
    return conclude(state, as_document=arguments.json)


def _hold(arguments: argparse.Namespace) -> int:
    found = client_of(arguments).post(*_API, "workloads", arguments.workload, arguments.action)
    if arguments.json:
        output.as_json(found)
    else:
        output.line(f"{found['name']}: {found['state']}")
    return SUCCESS


def _release(arguments: argparse.Namespace) -> int:
    body = {"digest": arguments.digest} if arguments.digest else {}
    path = (*_API, "workloads", arguments.workload, "release-quarantine")
    found = client_of(arguments).post(*path, body=body)
    if arguments.json:
        output.as_json(found)
    else:
        output.line(f"{arguments.workload}: {found['released']} released from quarantine")
    return SUCCESS
