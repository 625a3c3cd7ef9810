"""`verify`: what every policy of a workload says of a reference; nothing is deployed."""

import argparse
from datetime import UTC, datetime
from typing import Any

from webhook_launcher.cli import options, output
from webhook_launcher.cli.options import UsageError, settings_of, with_config
from webhook_launcher.config import values
from webhook_launcher.core.errors import InvalidReferenceError, UnknownWorkloadError
from webhook_launcher.core.model import Image, Platform, Trust, Verdict
from webhook_launcher.core.reference import parse_reference

ADMITTED, REFUSED = 0, 1


def add(commands: Any) -> None:
    """Declare the command."""
    verify = commands.add_parser(
        "verify",
        parents=[with_config()],
        help="what a workload's policies say of a reference; nothing is done",
        description="Asks the registry, gathers what the workload's policies need and prints what "
        "each of them says. Reads the state directory if it is there (quarantine, when the digest "
        "was first seen), deploys nothing and may run beside a launcher.",
        epilog="exit status: 0 every policy holds, 1 one does not or could not be asked, "
        "2 usage, 78 configuration",
    )
    verify.add_argument("reference", help="repository:tag, repository@digest, or both")
    verify.add_argument("--workload", type=options.workload, required=True)
    verify.add_argument(
        "--trust",
        choices=[trust.value for trust in Trust],
        default=Trust.SIGNED.value,
        help="as if this had asked for it (default: signed)",
    )
    verify.add_argument(
        "--platform",
        type=_platform,
        metavar="OS/ARCHITECTURE",
        help="whose image of an index is meant (default: the engine's platform)",
    )
    verify.set_defaults(run=_verify)


def _verify(arguments: argparse.Namespace) -> int:
    # Its imports are those of the service: too many for commands that do not need them.
    from webhook_launcher.inquiry import judge  # noqa: PLC0415

    settings = settings_of(arguments)
    workload = settings.workloads.get(arguments.workload)
    if workload is None:
        raise UnknownWorkloadError(f"there is no workload {arguments.workload!r}")
    try:
        reference = parse_reference(arguments.reference)
    except InvalidReferenceError as error:
        raise UsageError(str(error), advice=error.advice()) from error
    trust = Trust(arguments.trust)
    image, verdicts = judge(settings, workload, reference, trust, arguments.platform)
    if arguments.json:
        output.as_json(_document(workload.name, image, verdicts))
    else:
        _show(image, verdicts)
    return ADMITTED if all(verdict.holds for verdict in verdicts) else REFUSED


def _platform(text: str) -> Platform:
    try:
        return values.platform(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _show(image: Image, verdicts: tuple[Verdict, ...]) -> None:
    output.line(str(image.reference.at(image.digest)))
    for name, value in _chain(image).items():
        if value is not None:
            output.line(f"  {name}: {value}")
    for verdict in verdicts:
        output.line(f"{'ok  ' if verdict.holds else 'FAIL'}  {verdict.policy}: {verdict.said}")
        if verdict.advice is not None:
            output.line(f"      -> {verdict.advice}")


def _document(workload: str, image: Image, verdicts: tuple[Verdict, ...]) -> dict[str, Any]:
    return {
        "workload": workload,
        "reference": str(image.reference.at(image.digest)),
        "admitted": all(verdict.holds for verdict in verdicts),
        "evidence": {"at": datetime.now(UTC).isoformat(timespec="seconds"), **_chain(image)},
        "policies": [
            {
                "policy": verdict.policy,
                "holds": verdict.holds,
                "said": verdict.said,
                "advice": verdict.advice,
            }
            for verdict in verdicts
        ],
    }


def _chain(image: Image) -> dict[str, str | None]:
    """What the registry answered, down to what the engine will call the image."""
    return {
        "digest": image.digest,
        "manifest": image.manifest,
        "config": image.config,
        "platform": str(image.platform) if image.platform else None,
    }
