"""`keygen` and `send`: the sender's side of signed deploy events."""

import argparse
import json
import os
import secrets
import time
from typing import Any
from urllib.parse import urlsplit

from webhook_launcher.cli import options, output
from webhook_launcher.cli.client import Client, RefusedError, UnreachableError, intents_of
from webhook_launcher.cli.options import UsageError
from webhook_launcher.cli.remote import conclude
from webhook_launcher.core.policy import OVERRIDABLE
from webhook_launcher.core.signatures import (
    SigningKey,
    generate_key_pair,
    generate_secret,
    parse_signing_key,
    sign,
)

SUCCESS, NOT_SENT = 0, 3
_KEY_VARIABLE = "LAUNCHER_SIGNING_KEY"
_PAUSES = (1.0, 2.0, 4.0)
# What each part of what keygen prints is for.
_USES = {
    "private_key": f"for the sender alone: `send --key-file`, or ${_KEY_VARIABLE} in CI",
    "public_key": "for the configuration: keys: [{id: …, public_key: …}] of a deploy source",
    "secret": "for both sides: `send --key-file`, and keys: [{id: …, secret_file: …}]",
    "token": "for a URL (token_file of a source), or for the API (token_file of admin)",
}


def add(commands: Any) -> None:
    """Declare the commands."""
    keygen = commands.add_parser(
        "keygen", parents=[options.with_json()], help="make keys, secrets and tokens"
    )
    keygen.add_argument(
        "--type",
        choices=("ed25519", "hmac", "token"),
        default="ed25519",
        help="ed25519 (default): a pair for deploy events; hmac: one shared secret for them; "
        "token: for the URL of a source and for the API",
    )
    keygen.set_defaults(run=_keygen)
    send = commands.add_parser(
        "send",
        parents=[options.with_json(), options.with_wait()],
        help="sign and post a deploy event",
        epilog="exit status: 0 success, 1 failure, 2 usage, 3 could not send, 4 timed out",
    )
    send.add_argument(
        "--url", type=options.url, required=True, help="https://host/hooks/<source>[/<token>]"
    )
    send.add_argument(
        "--key-file",
        metavar="PATH",
        help=f"a file with the whsk_ or whsec_ key (default: ${_KEY_VARIABLE})",
    )
    send.add_argument("--workload", required=True)
    send.add_argument(
        "--reference", help="of its image: repository:tag@digest (default: what it tracks)"
    )
    send.add_argument("--reason", help="shown in the history, such as the number of the CI run")
    send.add_argument("--actor", help="shown in the history: who asked for it")
    send.add_argument(
        "--override",
        action="append",
        choices=sorted(OVERRIDABLE),
        help="a policy that need not hold this time, if the key may override it",
    )
    send.add_argument(
        "--retries",
        type=options.whole(0, len(_PAUSES)),
        default=len(_PAUSES),
        metavar="N",
        help="how often to send it again when nobody answers (default: 3; it counts once)",
    )
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
        return SUCCESS
    for name, value in made.items():
        output.line(f"{name}: {value}")
    for name in made:
        output.note(f"  {name}: {_USES[name]}")
    return SUCCESS


def _send(arguments: argparse.Namespace) -> int:
    key = _signing_key(arguments)
    event: dict[str, Any] = {"type": "deploy", "workload": arguments.workload}
    event |= {
        name: value
        for name in ("reference", "reason", "actor", "override")
        if (value := getattr(arguments, name)) is not None
    }
    try:
        answer = _post(arguments.url, event, key, _PAUSES[: arguments.retries])
    except (RefusedError, UnreachableError) as error:
        output.complain(error, as_document=arguments.json)
        return NOT_SENT
    if arguments.wait and answer.get("intents"):
        return _wait(arguments, answer)
    if arguments.json:
        output.as_json(answer)
    else:
        output.line(f"delivery {answer['delivery']}: {answer.get('ignored') or 'accepted'}")
    return SUCCESS


def _post(
    url: str, event: dict[str, Any], key: SigningKey, pauses: tuple[float, ...]
) -> dict[str, Any]:
    """Send, and again after an outage, under one id: the launcher accepts it at most once."""
    body = json.dumps(event).encode()
    message_id = f"msg_{secrets.token_urlsafe(18)}"
    client = Client(url)
    for pause in (*pauses, None):
        now = int(time.time())
        headers = {
            "Content-Type": "application/json",
            "webhook-id": message_id,
            "webhook-timestamp": str(now),
            "webhook-signature": sign(message_id, now, body, [key]),
        }
        try:
            return _checked(client, client.post_raw(body, headers))
        except (UnreachableError, RefusedError) as error:
            passing = not isinstance(error, RefusedError) or error.passing
            if pause is None or not passing:
                raise
            output.note(f"{error}; again in {pause:g} s")
            time.sleep(pause)
    raise AssertionError("unreachable: the last try returns or raises")


def _checked(client: Client, answer: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(answer.get("delivery"), str):
        raise client.unusable("no delivery id; is it the URL of a source, …/hooks/<source>?")
    return answer


def _wait(arguments: argparse.Namespace, answer: dict[str, Any]) -> int:
    parts = urlsplit(arguments.url)
    # The launcher may be reached under a path behind a proxy: keep what stands before /hooks/.
    client = Client(f"{parts.scheme}://{parts.netloc}{parts.path.partition('/hooks/')[0]}")
    seen: set[tuple[str, str]] = set()

    def report(state: dict[str, Any]) -> None:
        for intent in intents_of(state):
            step = (intent["id"], intent["status"])
            if step not in seen and not intent["final"]:
                seen.add(step)
                output.note(f"{intent['workload']}: {intent['status']}")

    state = client.follow(
        *("api", "v1", "deliveries", answer["delivery"]),
        seconds=arguments.timeout,
        now=time.monotonic,
        sleep=time.sleep,
        report=report,
    )
    return conclude(state, as_document=arguments.json)


def _signing_key(arguments: argparse.Namespace) -> SigningKey:
    if arguments.key_file:
        text = options.secret_in(arguments.key_file, "--key-file")
    else:
        text = os.environ.get(_KEY_VARIABLE, "")
    if not text:
        raise UsageError(
            "there is no key to sign with",
            advice=f"Give a whsk_ or whsec_ key with --key-file or ${_KEY_VARIABLE}.",
        )
    try:
        return parse_signing_key(text)
    except ValueError as error:
        raise UsageError(f"the key cannot sign: {error}") from None
