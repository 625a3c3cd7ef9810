"""The API's answers as a person reads them in a terminal: `status` and `history`."""

from datetime import datetime
from typing import Any

from webhook_launcher.cli import output

Document = dict[str, Any]
_LABEL = 12


def workloads(found: list[Document]) -> None:
    """A line for each; what needs a look stands below, on standard error."""
    rows = [
        (
            item["name"],
            item["state"],
            _bare((item["current"] or {}).get("reference"), item),
            _bare(item["tracked"], item),
            _bare(item["tracked_now"], item),
            len(item["pending"]),
            item["last_check"]["result"],
        )
        for item in found
    ]
    output.table(("WORKLOAD", "STATE", "RUNS", "TRACKED", "NOW", "PENDING", "LAST CHECK"), rows)
    for item in found:
        for warning in item["warnings"]:
            output.note(f"warning: {item['name']}: {warning}")


def workload(item: Document) -> None:
    """Everything about one, a line for each thing."""
    output.line(f"{item['name']}: {item['state']}")
    last = item["last_check"]
    checked = f"{_time(last['at'])}: {last['result']}" if last["at"] else None
    lines = [
        ("image", item["image"]),
        ("tracked", _bare(item["tracked"], item)),
        ("now", _bare(item["tracked_now"], item)),
        ("runs", _bare((item["current"] or {}).get("reference"), item)),
        ("previous", _bare((item["previous"] or {}).get("reference"), item)),
        ("last check", checked),
        *(("pending", _pending(intent)) for intent in item["pending"]),
        *(("quarantined", digest) for digest in item["quarantined"]),
    ]
    for label, text in lines:
        output.line(f"  {label:<{_LABEL}} {text or '-'}")
    for warning in item["warnings"]:
        output.note(f"warning: {item['name']}: {warning}")


def deployments(found: list[Document]) -> None:
    """Newest first; what went wrong is told in its own words."""
    rows = [
        (
            _time(item["started_at"]),
            _took(item),
            item["workload"],
            item["status"] + (" (rollback)" if item["rollback"] else ""),
            output.short(item["image"]["reference"]),
            f"{item['origin']['source']} ({item['origin']['trust']})",
            item["detail"] or item["origin"]["reason"],
        )
        for item in found
    ]
    output.table(("STARTED", "TOOK", "WORKLOAD", "STATUS", "IMAGE", "BY", "WHY"), rows)


def evidence(found: list[Document]) -> None:
    """Newest first, each with all that it rests on."""
    for item in found:
        result = f"{item['status']}{': ' if item['detail'] else ''}{item['detail'] or ''}"
        output.line(f"{_time(item['started_at'])} {item['workload']}: {result}")
        origin, image = item["origin"], item["image"]
        key = f", key {origin['secret_id']}" if origin["secret_id"] else ""
        steps = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in item["timings"].items())
        lines = [
            ("deployment", item["id"]),
            ("asked by", f"{origin['source']} ({origin['trust']}{key})"),
            ("delivery", origin["delivery"]),
            ("signed at", origin["signed_at"]),
            ("actor", origin["actor"]),
            ("reason", origin["reason"]),
            *(("image", one) for one in image["images"]),
            ("manifest", image["manifest"]),
            ("config", image["config"]),
            ("platform", image["platform"]),
            ("replaced", (item["previous"] or {}).get("reference")),
            *((one["policy"], one["said"]) for one in item["policies"]),
            ("took", f"{_took(item)} ({steps})" if steps and _took(item) else _took(item)),
        ]
        for label, text in lines:
            if text is not None:
                output.line(f"  {label:<{_LABEL}} {text}")


def _bare(reference: str | None, item: Document) -> str | None:
    """`1.4.2@sha256:…`: the repository is the workload's, and every line would repeat it."""
    shown = output.short(reference)
    return shown.removeprefix(item["image"]).removeprefix(":") if shown else None


def _pending(intent: Document) -> str:
    until = f" until {_time(intent['not_before'])}" if intent["not_before"] else ""
    because = f": {intent['detail']}" if intent["detail"] else ""
    return f"{intent['action']}, {intent['status']}{until}{because}"


def _time(text: str) -> str:
    """To the second; UTC, as the logs have it."""
    return f"{datetime.fromisoformat(text):%Y-%m-%d %H:%M:%S}Z"


def _took(item: Document) -> str | None:
    if item["finished_at"] is None:
        return None
    started, finished = (datetime.fromisoformat(item[f"{k}_at"]) for k in ("started", "finished"))
    return f"{(finished - started).total_seconds():.1f} s"
