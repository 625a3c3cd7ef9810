"""`keygen` and `send`: the sender's side of signed deploy events."""

import argparse
import json
import os
import secrets
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from webhook_launcher.cli import output
from webhook_launcher.cli.client import Client, RefusedError, UnreachableError, intents_of
from webhook_launcher.cli.operator import conclude
from webhook_launcher.core.errors import CommandError, LauncherError
from webhook_launcher.core.signatures import (
    SigningKey,
    generate_key_pair,
    generate_secret,
    parse_signing_key,
    sign,
)

NOT_SENT = 3
_KEY_VARIABLE = "LAUNCHER_SIGNING_KEY"


def add(commands: Any, common: argparse.ArgumentParser) -> None:
    """Declare the commands."""
    keygen = commands.add_parser("keygen", parents=[common], help="make keys, secrets and tokens")
    keygen.add_argument(
        "--type",
        choices=("ed25519", "hmac", "token"),
        default="ed25519",
        help="ed25519: a pair for deploy events; hmac: a shared secret; token: for URLs and admin",
    )
    keygen.set_defaults(run=_keygen)
    send = commands.add_parser("send", parents=[common], help="sign and post a deploy event")
    send.add_argument("--url", required=True, help="https://host/hooks/<source>")
    send.add_argument(
        "--key-file", type=Path, help=f"whsk_ or whsec_ key (default: ${_KEY_VARIABLE})"
    )
    send.add_argument("--workload", required=True)
    send.add_argument("--reference", help="default: the workload's tracked reference")
    send.add_argument("--reason")
    send.add_argument("--actor")
    send.add_argument("--wait", action="store_true", help="follow it; exit by its result")
    send.add_argument("--timeout", type=float, default=600, help="seconds to wait (600)")
    send.set_defaults(run=_send)


def _keygen(arguments: argparse.Namespace) -> int:
    if arguments.type == "ed25519":
        private, public = generate_key_pair(os.urandom)
        made = {"private_key": private, "public_key": public}
    elif arguments.type == "hmac":
        made = {"secret": generate_secret(os.urandom)}
    else:
        made = {"token": secrets.token_urlsafe(32)}
    if arguments.json:
        output.as_json(made)
    else:
        for name, value in made.items():
            print(f"{name}: {value}")
    return 0


def _send(arguments: argparse.Namespace) -> int:
    key = _signing_key(arguments)
    event = {"type": "deploy", "workload": arguments.workload}
    event |= {
        name: value
        for name in ("reference", "reason", "actor")
        if (value := getattr(arguments, name)) is not None
    }
    try:
        answer = _post(arguments.url, event, key)
    except (RefusedError, UnreachableError) as error:
        output.complain(error, as_document=arguments.json)
        return NOT_SENT
    if not arguments.wait or not answer.get("intents"):
        if arguments.json:
            output.as_json(answer)
        else:
            print(f"delivery {answer['delivery']}: {answer.get('ignored') or 'accepted'}")
        return 0
    return _wait(arguments, answer)


def _post(url: str, event: dict[str, str], key: SigningKey) -> dict[str, Any]:
    """Send, and again after an outage, under one id: the launcher accepts it at most once."""
    body = json.dumps(event).encode()
    message_id = f"msg_{secrets.token_urlsafe(18)}"
    client = Client(url)
    for pause in (1.0, 2.0, 4.0, None):
        now = int(time.time())
        headers = {
            "Content-Type": "application/json",
            "webhook-id": message_id,
            "webhook-timestamp": str(now),
            "webhook-signature": sign(message_id, now, body, [key]),
        }
        try:
            return client.post_raw(body, headers)
        except (UnreachableError, RefusedError) as error:
            passing = not isinstance(error, RefusedError) or error.status in (429, 502, 503, 504)
            if pause is None or not passing:
                raise
            time.sleep(pause)
    raise AssertionError("unreachable: the last try returns or raises")


def _wait(arguments: argparse.Namespace, answer: dict[str, Any]) -> int:
    parts = urlsplit(arguments.url)
    client = Client(f"{parts.scheme}://{parts.netloc}")
    # The launcher may be reached under a path behind a proxy: keep what stands before /hooks/.
    prefix = parts.path.partition("/hooks/")[0]
    seen: set[tuple[str, str]] = set()

    def report(state: dict[str, Any]) -> None:
        for intent in intents_of(state):
            step = (intent["id"], intent["status"])
            if step not in seen and not intent["final"]:
                seen.add(step)
                print(f"{intent['workload']}: {intent['status']}", file=sys.stderr)

    state = client.follow(
        lambda: client.get(f"{prefix}/api/v1/deliveries/{answer['delivery']}"),
        seconds=arguments.timeout,
        now=time.monotonic,
        sleep=time.sleep,
        report=report,
    )
    return conclude(state, as_document=arguments.json)


def _signing_key(arguments: argparse.Namespace) -> SigningKey:
    try:
        if arguments.key_file:
            text = arguments.key_file.read_text("ascii")
        else:
            text = os.environ.get(_KEY_VARIABLE, "")
        return parse_signing_key(text)
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"cannot read --key-file {arguments.key_file}") from error
    except ValueError as error:
        raise SigningKeyError(str(error)) from None


class SigningKeyError(LauncherError):
    """The key given to `send` cannot sign."""

    code = "signing-key"
    default_advice = f"Give a whsk_ or whsec_ key with --key-file or ${_KEY_VARIABLE}."
