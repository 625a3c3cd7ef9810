"""`receipts`: verify a chain offline, export it, print the public key."""

import argparse
import itertools
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, BinaryIO

from webhook_launcher.adapters.journal import kept_receipts, public_keys
from webhook_launcher.cli import options, output
from webhook_launcher.cli.options import UsageError
from webhook_launcher.cli.remote import client_of, with_launcher
from webhook_launcher.core.dsse import PublicKey, parse_public_key
from webhook_launcher.core.errors import BrokenChainError
from webhook_launcher.core.receipts import MAX_ENVELOPE, Chain, Head, verify

SUCCESS, BROKEN = 0, 1
_API = ("api", "v1", "receipts")
_PAGE = 500
_MAX_KEY_FILE = 64 * 1024
_SQLITE = b"SQLite format 3\0"  # sqlite.org/fileformat2.html, 1.3


def add(commands: Any) -> None:
    """Declare the command and what it can do."""
    receipts = commands.add_parser(
        "receipts", help="verify, export and identify the signed receipts of deployments"
    )
    actions = receipts.add_subparsers(required=True, metavar="ACTION", title="actions")
    check = actions.add_parser(
        "verify",
        parents=[with_launcher()],
        help="check a whole chain, and name the first break",
        epilog="exit status: 0 whole, 1 broken, 2 usage",
    )
    check.add_argument(
        "file",
        nargs="?",
        help="an export, a journal that was set aside or copied, or - "
        "(default: the configuration's state directory)",
    )
    check.add_argument(
        "--public-key",
        action="append",
        metavar="FILE",
        help="a key that may have signed them, in PEM; may be repeated "
        "(default: those of the configuration and of its state directory)",
    )
    check.add_argument(
        "--head",
        action="append",
        type=_head,
        default=[],
        metavar="SEQ:SHA256",
        help="a receipt that must be in it, as `status` shows it; may be repeated "
        "(with --url: also the head of that launcher)",
    )
    check.set_defaults(run=_verify)
    export = actions.add_parser(
        "export",
        parents=[with_launcher()],
        help="print the chain, one envelope per line",
        epilog="Without --url, it is read from the configuration's state directory.",
    )
    export.add_argument(
        "--after",
        type=options.whole(0, 999_999),
        default=0,
        metavar="SEQ",
        help="only what follows this receipt, to continue an export (default: all)",
    )
    export.set_defaults(run=_export)
    key = actions.add_parser(
        "key", parents=[options.with_config()], help="print the public key, in PEM"
    )
    key.set_defaults(run=_key)


def _verify(arguments: argparse.Namespace) -> int:
    keys = _keys(arguments)
    heads = [*arguments.head, *_head_of_launcher(arguments)]
    try:
        if arguments.file is None:
            with closing(kept_receipts(options.settings_of(arguments).state)) as kept:
                chain = verify(kept, keys, heads)
        elif _is_journal(arguments.file):
            with closing(kept_receipts(Path(arguments.file))) as kept:
                chain = verify(kept, keys, heads)
        else:
            with _opened(arguments.file) as file:
                chain = verify(_lines(file), keys, heads)
    except BrokenChainError as error:
        if not arguments.json:
            raise
        output.as_json(_document_of_break(error))
        return BROKEN
    if arguments.json:
        output.as_json(_document(chain))
    else:
        _tell(chain)
    return SUCCESS


def _export(arguments: argparse.Namespace) -> int:
    if arguments.url:
        client, after = client_of(arguments), arguments.after
        while page := client.get_lines(*_API, after=str(after), limit=str(_PAGE)):
            output.raw(b"".join(b"%b\n" % envelope for envelope in page))
            after += len(page)
        return SUCCESS
    with closing(kept_receipts(options.settings_of(arguments).state)) as kept:
        for envelope in itertools.islice(kept, arguments.after, None):
            output.raw(envelope + b"\n")
    return SUCCESS


def _key(arguments: argparse.Namespace) -> int:
    key, *_ = _configured_keys(arguments)
    if arguments.json:
        output.as_json({"key": key.id, "public_key": key.pem.decode()})
    else:
        output.raw(key.pem)
    return SUCCESS


def _keys(arguments: argparse.Namespace) -> list[PublicKey]:
    if not arguments.public_key:
        return _configured_keys(arguments)
    return [_key_in(path) for path in arguments.public_key]


def _key_in(path: str) -> PublicKey:
    try:
        with Path(path).open("rb") as file:
            return parse_public_key(file.read(_MAX_KEY_FILE))
    except OSError as error:
        raise UsageError(f"cannot read --public-key {path}: {error.strerror}") from None
    except ValueError as error:
        raise UsageError(f"--public-key {path} {error}") from None


def _configured_keys(arguments: argparse.Namespace) -> list[PublicKey]:
    """The key in use first, then those that were."""
    settings = options.settings_of(arguments)
    given = [settings.receipts.public] if settings.receipts else []
    keys = [*given, *public_keys(settings.state)]
    if not keys:
        raise UsageError(
            f"there is no key of receipts in {settings.state}",
            advice="The launcher makes one at its first start; or name one with --public-key.",
        )
    return keys


def _head_of_launcher(arguments: argparse.Namespace) -> Iterator[Head]:
    if arguments.url:
        found = client_of(arguments).get(*_API, "head")
        if found["sequence"]:
            yield Head.parse(f"{found['sequence']}:{found['sha256']}")


def _is_journal(path: str) -> bool:
    if path == "-":
        return False
    with _opened(path) as file:
        return file.read(len(_SQLITE)) == _SQLITE


def _opened(path: str) -> BinaryIO:
    try:
        return sys.stdin.buffer if path == "-" else Path(path).open("rb")
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None


def _lines(file: BinaryIO) -> Iterator[bytes]:
    while line := file.readline(MAX_ENVELOPE + 1):
        yield line.removesuffix(b"\n")


def _document(chain: Chain) -> dict[str, Any]:
    head = chain.head
    return {
        "whole": True,
        "receipts": head.sequence if head else 0,
        "head": str(head) if head else None,
        "keys": list(chain.keys),
    }


def _document_of_break(error: BrokenChainError) -> dict[str, Any]:
    return {
        "whole": False,
        "code": error.code,
        "sequence": error.sequence,
        "deployment": error.deployment,
        "detail": error.what,
        "advice": error.advice(),
    }


def _tell(chain: Chain) -> None:
    if chain.head is None:
        output.line("whole, and empty: there is no receipt")
        return
    output.line(f"whole: {chain.head.sequence} receipts")
    output.line(f"head: {chain.head}")
    for key in chain.keys:
        output.line(f"signed by: {key}")


def _head(text: str) -> Head:
    try:
        return Head.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
