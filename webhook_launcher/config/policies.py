"""The `policy:` list of a workload: a name for each, and its settings.

Fails closed: what cannot be read is a problem of the configuration, never a policy less.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from types import MappingProxyType
from typing import Any

from webhook_launcher.config import values
from webhook_launcher.config.attested_by import read_attested_by
from webhook_launcher.config.document import Section
from webhook_launcher.config.signed_by import read_signed_by
from webhook_launcher.core.evidence import Check
from webhook_launcher.core.model import Trust
from webhook_launcher.core.policies import (
    Command,
    Labels,
    MaxSize,
    MinimumAge,
    NoDowngrade,
    OfPlatform,
    RequireTrust,
    SameLabel,
    SignedBy,
)
from webhook_launcher.core.policies.no_downgrade import VERSION_LABEL
from webhook_launcher.core.policy import Policy

# Reads the key of its own name in the section of one list item; None when a problem was recorded.
Reader = Callable[[Section], Policy | None]


def read_policies(section: Section) -> tuple[Policy, ...]:
    """Every policy of the workload, in the order of the list; problems are recorded."""
    items = _items(section)
    read = [(item, _read(item)) for item in items]
    signers = [policy for _, policy in read if isinstance(policy, SignedBy)]
    found: list[Policy] = []
    for item, policy in read:
        if isinstance(policy, NoDowngrade) and policy.annotation is not None:
            declared = any("signed_by" in other for other in items)
            found.append(_with_signers(item, policy, signers, declared=declared))
        elif policy is not None:
            found.append(policy)
    return tuple(found)


def _with_signers(
    item: Section, policy: NoDowngrade, signers: list[SignedBy], *, declared: bool
) -> NoDowngrade:
    """An annotation is worth what the key is that signed it."""
    if not signers:
        if not declared:  # one that cannot be read is reported at its own place
            item.problem(
                "no_downgrade.annotation",
                "needs a signed_by policy beside it: whose annotation is it?",
            )
        return policy
    return replace(policy, signatures=signers[0])


def _items(section: Section) -> list[Section]:
    """A policy without settings may be written as its bare name."""
    nothing: list[Any] = []
    listed = section.take("policy", _list, nothing)
    return [
        Section(
            {item: True} if isinstance(item, str) else item,
            f"{section.at('policy')}[{index}]",
            section.problems,
            section.base,
        )
        for index, item in enumerate(listed)
    ]


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError("must be a list, such as [{minimum_age: 72h}]")
    return value


def _read(item: Section) -> Policy | None:
    names = [name for name in READERS if name in item]
    policy = READERS[names[0]](item) if names else None
    if not names:
        for name in READERS:  # so that `finish` can tell what there is
            item.take(name, lambda value: value, None)
    item.finish()
    if len(names) > 1:
        item.problem("", f"names several policies, {', '.join(names)}; give each its own `- `")
    elif not names:
        item.problem("", "names no policy of this version")
    return policy


def _minimum_age(item: Section) -> Policy | None:
    seconds = item.take("minimum_age", values.duration, 0.0)
    return MinimumAge(timedelta(seconds=seconds)) if seconds else None


def _platform(item: Section) -> Policy | None:
    platform = item.take("platform", values.platform, None)
    return OfPlatform(platform) if platform else None


def _labels(item: Section) -> Policy | None:
    wanted = item.take("labels", _parse_labels, None)
    return Labels(MappingProxyType(wanted)) if wanted else None


def _parse_labels(value: Any) -> dict[str, str]:
    found = values.texts(value)
    if not found:
        raise ValueError("must be a mapping of at least one label to its value")
    return found


def _max_size(item: Section) -> Policy | None:
    most = item.take("max_size", values.image_size, 0)
    return MaxSize(most) if most else None


def _command(item: Section) -> Policy | None:
    argv = values.argv_from(item.base)

    def parse(value: Any) -> Check:
        if not isinstance(value, dict):
            return Check(argv(value))
        unknown = sorted(value.keys() - {"argv", "timeout"})
        if unknown or "argv" not in value:
            raise ValueError("must be a list of strings, or {argv: [...], timeout: 30s}")
        return Check(argv(value["argv"]), values.duration(value.get("timeout", "30s")))

    check = item.take("command", parse, None)
    return Command(check) if check else None


def _require_trust(item: Section) -> Policy | None:
    trust = item.take("require_trust", _parse_trust, None)
    return RequireTrust(trust) if trust else None


def _no_downgrade(item: Section) -> Policy | None:
    """The bare name, or a mapping."""
    if item.take("no_downgrade", lambda value: value is True, False):
        return NoDowngrade()
    settings = item.section("no_downgrade")
    policy = NoDowngrade(
        settings.take("label", values.text, VERSION_LABEL),
        settings.take("max_major_step", values.number(0, 1000), None),
        settings.take("annotation", values.text, None),
    )
    if "label" in settings and "annotation" in settings:
        settings.problem("", "has both label and annotation; keep the one that has the version")
    settings.finish()
    return policy


def _parse_trust(value: Any) -> Trust:
    if value != Trust.SIGNED.value:
        raise ValueError("must be signed: what proves less, anybody who sees it can repeat")
    return Trust.SIGNED


def _same_label(item: Section) -> Policy | None:
    label = item.take("same_label", values.text, None)
    return SameLabel(label) if label else None


READERS: Mapping[str, Reader] = MappingProxyType(
    {
        "signed_by": read_signed_by,
        "attested_by": read_attested_by,
        "minimum_age": _minimum_age,
        "require_trust": _require_trust,
        "platform": _platform,
        "labels": _labels,
        "same_label": _same_label,
        "max_size": _max_size,
        "no_downgrade": _no_downgrade,
        "command": _command,
    }
)
