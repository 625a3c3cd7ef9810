"""`distribution`: notifications of a CNCF Distribution registry (the `registry` image).

The registry signs nothing and sends configured static headers; it gives an answer one second and
repeats anything but 2xx and 3xx for ever, in order, so one refused delivery blocks its queue.
"""

from datetime import datetime

from webhook_launcher.core.source import Delivery, Kind, Proof, Source, Statement
from webhook_launcher.sources.base.body import read_fields
from webhook_launcher.sources.base.credentials import static_header
from webhook_launcher.sources.base.registry_events import read_notifications


def authenticate(delivery: Delivery, source: Source, _now: datetime) -> Proof:
    """The configured header, or the URL's token where no secret is configured."""
    return static_header(delivery, source)


def read(delivery: Delivery, source: Source) -> Statement:
    """Every pushed tag of the envelope, or why there is none. Raises MalformedEventError."""
    return read_notifications(read_fields(delivery.body), source, delivery.body)


KIND = Kind(
    "distribution",
    authenticate,
    read,
    credentials=frozenset({"secrets", "tokens"}),
    needs_registry=False,
    header="Authorization",
    punishes_errors=True,
)
