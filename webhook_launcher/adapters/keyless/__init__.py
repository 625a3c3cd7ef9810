"""Who vouches for attachments, by Sigstore's keyless signatures (policy `attested_by`).

sigstore-python is an optional extra and costs half a second and 20 MiB: it is imported when a
policy first asks, in `bundles` and nowhere else.
"""

from collections.abc import Sequence
from datetime import datetime
from types import ModuleType

from webhook_launcher.core.attachment import Attachment
from webhook_launcher.core.errors import ConfigurationError, Problem
from webhook_launcher.core.keyless import INSTALL, KeylessIdentity, TrustDates, Vouching


class KeylessVerifier:
    """Answers without asking anybody: offline. Safe for use by several threads."""

    def verify(self, identity: KeylessIdentity, attachments: Sequence[Attachment]) -> Vouching:
        """Every bundle that the identity made, and why the others do not count.

        Raises ConfigurationError when the trusted root cannot be used, or the extra is missing.
        """
        found: Vouching = _bundles().verify(identity, attachments)
        return found

    def trust_dates(self, trusted_root: bytes | None, now: datetime) -> TrustDates:
        """How old a trusted root is (None: the one in the package). Raises as `verify` does."""
        found: TrustDates = _bundles().trust_dates(trusted_root, now)
        return found


def _bundles() -> ModuleType:
    try:
        from webhook_launcher.adapters.keyless import bundles  # noqa: PLC0415 # see above
    except ImportError as error:
        problem = Problem("attested_by", f"needs sigstore-python ({error}): {INSTALL}")
        raise ConfigurationError([problem]) from error
    return bundles
