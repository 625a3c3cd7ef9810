"""Secrets in the configuration: every `X` may be given as `X_file`, and is never empty."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from webhook_launcher.config import values
from webhook_launcher.config.document import Section
from webhook_launcher.core.signatures import VerificationKey, parse_verification_key
from webhook_launcher.core.source import Secret

T = TypeVar("T")
_MAX_SECRET_FILE = 64 * 1024


def read_secret(section: Section, key: str) -> bytes | None:
    """The bytes of `key` or of the file `key_file`; None when neither is given."""
    value = section.take(key, values.text, None)
    path = section.take(f"{key}_file", values.path_from(section.base), None)
    if value is not None and path is not None:
        section.problem(key, f"is given twice: keep {key} or {key}_file, not both")
    if value is not None:
        return value.encode()
    if path is None:
        return None
    return _read(section, f"{key}_file", path)


def read_secrets(section: Section, one: str, many: str) -> tuple[Secret, ...]:
    """Secrets given as one (`secret`) or as a list of `{id, secret}` for rotation (`secrets`)."""
    return tuple(
        Secret(identity, value)
        for identity, value in _identified(section, one, many, _secret_of(one))
    )


def read_keys(section: Section) -> tuple[VerificationKey, ...]:
    """The `keys` of a signed source: `{id, public_key}` or `{id, secret}`."""
    found = []
    for item in section.items("keys"):
        identity = item.take("id", values.identifier)
        key = _verification_key(item, identity)
        item.finish()
        if key is not None:
            found.append(key)
    _report_twice(section, "keys", [key.id for key in found])
    return tuple(found)


def _verification_key(item: Section, identity: str) -> VerificationKey | None:
    public, secret = read_secret(item, "public_key"), read_secret(item, "secret")
    given = public or secret
    if given is None or (public and secret):
        item.problem("", "needs exactly one of public_key (whpk_…) and secret (whsec_…)")
        return None
    try:
        key = parse_verification_key(identity, given.decode("utf-8", "replace"))
    except ValueError as error:
        item.problem("public_key" if public else "secret", str(error))
        return None
    if public and key.scheme == "v1":
        item.problem("public_key", "is a shared secret; write it as secret or secret_file")
    return key


def _secret_of(one: str) -> Callable[[Section], bytes | None]:
    def read(item: Section) -> bytes | None:
        value = read_secret(item, one)
        if value is None:
            item.problem("", f"needs {one} or {one}_file")
        return value

    return read


def _identified(
    section: Section, one: str, many: str, read: Callable[[Section], bytes | None]
) -> list[tuple[str, bytes]]:
    single = read_secret(section, one)
    found = [("default", single)] if single is not None else []
    for item in section.items(many):
        identity = item.take("id", values.identifier)
        value = read(item)
        item.finish()
        if value is not None:
            found.append((identity, value))
    _report_twice(section, many, [identity for identity, _ in found])
    return found


def _report_twice(section: Section, key: str, ids: list[str]) -> None:
    if len(set(ids)) != len(ids):
        section.problem(key, "two entries have the same id")


def _read(section: Section, key: str, path: Path) -> bytes | None:
    """A secret file's bytes without the line ends that editors add."""
    try:
        content = path.read_bytes()
    except OSError as error:
        section.problem(key, f"cannot read {path}: {error.strerror}")
        return None
    content = content.strip(b"\r\n")
    if not content.strip():
        section.problem(key, f"{path} is empty; an empty secret would let anybody in")
        return None
    if len(content) > _MAX_SECRET_FILE:
        section.problem(key, f"{path} is longer than 64KiB; is it the right file?")
        return None
    return content
