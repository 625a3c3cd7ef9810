"""The chain of receipts, as it is kept: one envelope per line, byte for byte what was signed.

Not a JSON document of ours around them: the hash of a receipt is over these bytes, and whoever
appends pages to a file has what `receipts verify` reads.
"""

import re
from typing import Any, Protocol

from flask import Blueprint, Response, jsonify, request
from werkzeug.exceptions import BadRequest

from webhook_launcher.core.dsse import PublicKey
from webhook_launcher.core.receipts import Head
from webhook_launcher.web.access import admin_only

_MAX_PAGE = 500
_WHOLE = re.compile(r"[0-9]{1,15}")


class Receipts(Protocol):
    """The chain."""

    @property
    def key(self) -> PublicKey:
        """What signs it now."""

    def head(self) -> Head | None:
        """Its end."""

    def after(self, sequence: int, limit: int) -> list[bytes]:
        """What follows the one with this number."""


def blueprint(admin_token: bytes | None, receipts: Receipts) -> Blueprint:
    """`/api/v1/receipts` and its head, for the admin."""
    api = Blueprint("receipts", __name__, url_prefix="/api/v1/receipts")
    admin = admin_only(admin_token)

    @api.get("")
    @admin
    def page() -> Response:
        if unknown := sorted(request.args.keys() - {"after", "limit"}):
            raise BadRequest(f"there is no parameter {unknown[0][:80]!a}: after, limit")
        after, limit = _number("after", 0, 10**15), _number("limit", 1, _MAX_PAGE, _MAX_PAGE)
        lines = b"".join(b"%b\n" % envelope for envelope in receipts.after(after, limit))
        return Response(lines, mimetype="application/x-ndjson")

    @api.get("/head")
    @admin
    def head() -> Response:
        return jsonify(_head(receipts))

    return api


def _head(receipts: Receipts) -> dict[str, Any]:
    found = receipts.head()
    return {
        "sequence": found.sequence if found else 0,
        "sha256": found.sha256 if found else None,
        "key": receipts.key.id,
    }


def _number(name: str, low: int, high: int, default: int = 0) -> int:
    text = request.args.get(name) or str(default)
    if not _WHOLE.fullmatch(text) or not low <= int(text) <= high:
        raise BadRequest(f"{name} must be a whole number from {low} to {high}")
    return int(text)
