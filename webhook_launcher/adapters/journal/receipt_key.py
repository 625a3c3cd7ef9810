"""The key that signs receipts: the configured one, or one that is made at the first start.

`receipts.key` is the state directory's own private key (mode 0600), `receipts.pub` the public half
of the one in use. When another key comes into use, the former public half is kept under its id:
without it the receipts that it signed could not be verified any more.
"""

import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from webhook_launcher.core.dsse import (
    PrivateKey,
    PublicKey,
    generate_key,
    parse_private_key,
    parse_public_key,
)
from webhook_launcher.core.errors import SigningKeyError

_log = logging.getLogger(__name__)
_PRIVATE, _PUBLIC, _FORMER = "receipts.key", "receipts.pub", "receipts-{}.pub"
# A key is 120 bytes; whatever is longer than this is none.
_MAX_FILE = 64 * 1024


def signing_key(state: Path, given: PrivateKey | None) -> PrivateKey:
    """The key in use, its public half beside the journal. Raises SigningKeyError.

    To be called by the one who holds the state directory's lock.
    """
    try:
        key = given or _existing(state)
        if key is None:
            key = generate_key()
            _place(state / _PRIVATE, key.pem, mode=0o600)
        _publish(state, key.public)
    except OSError as error:
        raise _unusable(state, error) from error
    return key


def check_keys(state: Path, given: PrivateKey | None) -> None:
    """Raise SigningKeyError where a start would; reads only, so a launcher may run there."""
    try:
        if given is None:
            _existing(state)
        if (state / _PUBLIC).exists():
            _parsed_public(state / _PUBLIC)
    except OSError as error:
        raise _unusable(state, error) from error


def public_keys(state: Path) -> Iterator[PublicKey]:
    """Those in the state directory, the one in use first. Raises SigningKeyError."""
    try:
        for path in (state / _PUBLIC, *sorted(state.glob(_FORMER.format("*")))):
            with suppress(FileNotFoundError):
                yield _parsed_public(path)
    except OSError as error:
        raise SigningKeyError(f"cannot read {state}: {error.strerror}") from error


def _unusable(state: Path, error: OSError) -> SigningKeyError:
    return SigningKeyError(
        f"cannot use the receipts' key in {state}: {error.strerror}",
        advice="Check free space and permissions of the `state` directory.",
    )


def _existing(state: Path) -> PrivateKey | None:
    path = state / _PRIVATE
    if not path.exists():
        return None
    try:
        return parse_private_key(_content(path))
    except ValueError as error:
        raise SigningKeyError(f"{path} {error}") from None


def _publish(state: Path, public: PublicKey) -> None:
    path = state / _PUBLIC
    if path.exists():
        former = _parsed_public(path)
        if former.id == public.id:
            return
        path.replace(state / _FORMER.format(former.id[:12]))
        _log.warning("receipts have another key", extra={"key": public.id, "former": former.id})
    _place(path, public.pem, mode=0o644)


def _parsed_public(path: Path) -> PublicKey:
    try:
        return parse_public_key(_content(path))
    except ValueError as error:
        raise SigningKeyError(
            f"{path} {error}", advice="Move it aside: it is written anew at the next start."
        ) from None


def _content(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_MAX_FILE)


def _place(path: Path, content: bytes, mode: int) -> None:
    """Whole and on the disk, or not at all."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f"{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            os.fchmod(descriptor, mode)
            file.flush()
            os.fsync(descriptor)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink()
        raise
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
