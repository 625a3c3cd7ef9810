"""Public keys that senders publish: JSON Web Key Sets and the certificates of Amazon SNS.

Fetched over TLS from an address that the configuration or a strict pattern fixes, kept, and
fetched again only when a key is asked for that is not there, at most once a minute per address:
whoever invents key names costs us no more than that.
"""

import base64
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path

import requests
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, RSAPublicNumbers

from webhook_launcher.core import strict_json

# Seconds to connect and to read: a sender waits for our answer meanwhile.
_TIMEOUT = (1.0, 2.0)
_MAX_DOCUMENT = 1024 * 1024
_CHUNK = 64 * 1024
_FRESH = 3600.0
_AT_MOST_EVERY = 60.0
# Amazon replaces its certificates about yearly; more addresses than this are no rotation.
_MAX_CERTIFICATES = 16
# New addresses tried within `_AT_MOST_EVERY` seconds, of all that anybody may name.
_NEW_CERTIFICATES = 4
_MIN_BITS = 2048
_OK = 200

Parse = Callable[[bytes], Mapping[str, RSAPublicKey]]


class KeySet:
    """The keys of one document, by name. `address` is an https URL or a path.

    Without a lock: threads that ask at the same moment may both fetch, and one result stays.
    """

    def __init__(self, address: str, parse: Parse, now: Callable[[], float]) -> None:
        self._address = address
        self._parse = parse
        self._now = now
        self._keys: Mapping[str, RSAPublicKey] = {}
        self._fetched = self._tried = -_FRESH

    def __call__(self, name: str) -> RSAPublicKey | None:
        """The key of that name; None when the document has none, or cannot be had now."""
        now = self._now()
        stale = name not in self._keys or now - self._fetched > _FRESH
        if stale and now - self._tried > _AT_MOST_EVERY:
            self._tried = now
            self._renew(now)
        return self._keys.get(name)

    def _renew(self, now: float) -> None:
        """Keep what we have when the document cannot be had: an outage revokes nothing."""
        try:
            self._keys = self._parse(_read(self._address))
            self._fetched = now
        except (OSError, ValueError):  # requests' errors are OSErrors
            return


class Certificates:
    """The keys of certificates by the URL that names them; `key_of` reads a PEM.

    The address is named before any signature is checked, so one budget covers all addresses that
    have not given a key yet: a few in a minute, however many are invented.
    """

    def __init__(self, key_of: Callable[[bytes], RSAPublicKey], now: Callable[[], float]) -> None:
        self._key_of = key_of
        self._now = now
        self._proven: dict[str, KeySet] = {}
        self._tries: deque[float] = deque(maxlen=_NEW_CERTIFICATES)

    def __call__(self, url: str) -> RSAPublicKey | None:
        """The key of the certificate at a URL, which the caller has checked."""
        known = self._proven.get(url)
        if known is not None:
            return known(url)
        now = self._now()
        if len(self._tries) == _NEW_CERTIFICATES and now - self._tries[0] < _AT_MOST_EVERY:
            return None
        self._tries.append(now)
        fresh = KeySet(url, lambda pem: {url: self._key_of(pem)}, self._now)
        key = fresh(url)
        if key is not None and len(self._proven) < _MAX_CERTIFICATES:
            self._proven[url] = fresh
        return key


def parse_key_set(document: bytes) -> Mapping[str, RSAPublicKey]:
    """The RSA signing keys of a JWK set (RFC 7517), by `kid`. ValueError when it is none."""
    loaded = strict_json.loads(document)
    keys = loaded.get("keys") if isinstance(loaded, dict) else None
    if not isinstance(keys, list):
        raise ValueError("a JWK set has a list of keys")
    found = {}
    for key in keys:
        if not isinstance(key, dict) or key.get("kty") != "RSA" or key.get("use") == "enc":
            continue
        try:
            public = RSAPublicNumbers(_number(key.get("e")), _number(key.get("n"))).public_key()
        except ValueError:
            continue  # one key that cannot be read does not take the others away
        if isinstance(key.get("kid"), str) and public.key_size >= _MIN_BITS:
            found[key["kid"]] = public
    return found


def _number(text: object) -> int:
    """An unsigned integer in base64url (RFC 7518, 2)."""
    if not isinstance(text, str):
        raise ValueError("a key's number is missing")
    return int.from_bytes(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), "big")


def _read(address: str) -> bytes:
    """A document by https URL, without redirects and proxies, or by path."""
    if not address.startswith("https://"):
        with Path(address).open("rb") as file:
            return file.read(_MAX_DOCUMENT)
    with requests.Session() as session:
        session.trust_env = False
        with session.get(address, timeout=_TIMEOUT, allow_redirects=False, stream=True) as answer:
            if answer.status_code != _OK:
                raise ValueError(f"{address} answered {answer.status_code}")
            document = b""
            # Not `raw`: of a body that is cut off it raises what is no RequestException.
            for chunk in answer.iter_content(_CHUNK):
                document += chunk
                if len(document) > _MAX_DOCUMENT:
                    raise ValueError(f"{address} answered more than {_MAX_DOCUMENT} bytes")
            return document
