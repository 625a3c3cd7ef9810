"""Secrets in the configuration: every `X` may be given as `X_file`, and is never empty."""

from dataclasses import replace
from pathlib import Path

from webhook_launcher.config import values
from webhook_launcher.config.document import Section
from webhook_launcher.core.signatures import VerificationKey, parse_verification_key
from webhook_launcher.core.source import Secret

_MAX_SECRET_FILE = 64 * 1024
_NOTHING: frozenset[str] = frozenset()


def is_given(section: Section, key: str) -> bool:
    """True when `key` or `key_file` is written there, readable or not."""
    return key in section or f"{key}_file" in section


def read_secret(section: Section, key: str) -> bytes | None:
    """The bytes of `key` or of the file `key_file`; None when there are none."""
    value = section.take(key, values.text, None)
    path = section.take(f"{key}_file", values.path_from(section.base), None)
    if value is not None and path is not None:
        section.problem(key, f"is given twice: keep {key} or {key}_file, not both")
    if value is not None:
        return value.encode()
    if path is None:
        return None
    return _read(section, f"{key}_file", path)


def read_token(section: Section, key: str) -> bytes | None:
    """A secret that travels in a header or URL by itself: long, visible ASCII."""
    token = read_secret(section, key)
    fault = values.token_fault(token) if token is not None else None
    if fault:
        section.problem(_written(section, key), fault)
    return token


def read_secrets(section: Section, one: str, many: str) -> tuple[Secret, ...]:
    """Secrets given as one (`secret`) or as a list of `{id, secret}` for rotation (`secrets`)."""
    return _identified(section, one, many, token=False)


def read_tokens(section: Section, one: str, many: str) -> tuple[Secret, ...]:
    """The same for the last part of a URL, which a slash would cut in two."""
    found = _identified(section, one, many, token=True)
    for token in found:
        if b"/" in token.value:
            section.problem(
                one, f"{token.id!r} must not contain '/': it is part of a URL; `keygen` makes one"
            )
    return found


def read_keys(section: Section) -> tuple[VerificationKey, ...]:
    """The `keys` of a signed source: `{id, public_key}` or `{id, secret}`, and `override`."""
    found = []
    for item in _entries(section, "keys"):
        identity = item.take("id", values.identifier)
        key = _verification_key(item, identity)
        overrides = item.take("override", values.overrides, _NOTHING)
        item.finish()
        if key is not None:
            found.append(replace(key, overrides=overrides))
    _report_twice(section, "keys", [key.id for key in found])
    return tuple(found)


def _verification_key(item: Section, identity: str) -> VerificationKey | None:
    kinds = {"public_key": "v1a", "secret": "v1"}
    texts = {kind: read_secret(item, kind) for kind in kinds}
    given = [kind for kind in kinds if is_given(item, kind)]
    if len(given) != 1:
        item.problem("", "needs exactly one of public_key (whpk_…) and secret (whsec_…)")
        return None
    kind = given[0]
    text = texts[kind]
    if text is None:
        return None  # reported: the file cannot be read, or it is empty
    place = _written(item, kind)
    try:
        key = parse_verification_key(identity, text.decode("utf-8", "replace"))
    except ValueError as error:
        item.problem(place, str(error))
        return None
    if key.scheme != kinds[kind]:
        other = "secret or secret_file" if kind == "public_key" else "public_key"
        what = "a shared secret" if kind == "public_key" else "a public key"
        item.problem(place, f"is {what}; write it as {other}")
    return key


def _identified(section: Section, one: str, many: str, *, token: bool) -> tuple[Secret, ...]:
    read = read_token if token else read_secret
    single = read(section, one)
    found = [Secret("default", single)] if single is not None else []
    for item in _entries(section, many):
        identity = item.take("id", values.identifier)
        value = read(item, one)
        item.finish()
        if value is not None:
            found.append(Secret(identity, value))
        elif not is_given(item, one):
            item.problem("", f"needs {one} or {one}_file")
    _report_twice(section, many, [secret.id for secret in found])
    return tuple(found)


def _entries(section: Section, key: str) -> list[Section]:
    """The list's items; a list without any is a mistake, although nobody would be let in by it."""
    entries = section.items(key)
    if section.is_empty(key):
        section.problem(key, "has no entry, so nobody could prove anything")
    return entries


def _report_twice(section: Section, key: str, ids: list[str]) -> None:
    if len(set(ids)) != len(ids):
        section.problem(key, "two entries have the same id")


def _written(section: Section, key: str) -> str:
    return key if key in section else f"{key}_file"


def _read(section: Section, key: str, path: Path) -> bytes | None:
    """A secret file's bytes without the line ends that editors add."""
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_SECRET_FILE + 1)
    except OSError as error:
        section.problem(key, f"cannot read {path}: {error.strerror}")
        return None
    if len(content) > _MAX_SECRET_FILE:
        section.problem(key, f"{path} is longer than 64KiB; is it the right file?")
        return None
    content = content.strip(b"\r\n")
    if not content.strip():
        section.problem(key, f"{path} is empty; an empty secret would let anybody in")
        return None
    return content
