"""The `attested_by` policy: whose attestation, spelled out here as the certificate will have it."""

import importlib.util
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from webhook_launcher.config import values
from webhook_launcher.config.document import Section
from webhook_launcher.core import strict_json
from webhook_launcher.core.keyless import GITHUB, INSTALL, KeylessIdentity
from webhook_launcher.core.policies import AttestedBy
from webhook_launcher.core.policies.attested_by import PREDICATES, SLSA_PROVENANCE

_GITHUB_HOST = "https://github.com"
_SLUG = re.compile(r"[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+")
_URI = re.compile(r"https://[^\s*?#@/]+/[^\s*?#@]*[^\s*?#@/]")
_FILE = re.compile(r"\.github/workflows/[^\s*?#@/]+\.ya?ml")
# A kind must be named: `refs/*` would take in whatever a pull request proposes.
_REF = re.compile(r"refs/[^\s*]+/(?:\*|[^\s*/]+)")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_ROOT_TYPE = "application/vnd.dev.sigstore.trustedroot"
_MAX_ROOT = 1024**2


def read_attested_by(item: Section) -> AttestedBy | None:
    """The policy under the key `attested_by`; None when a problem was recorded."""
    before = len(item.problems)
    section = item.section("attested_by")
    if importlib.util.find_spec("sigstore") is None:
        section.problem("", f"needs sigstore-python, which is not installed: {INSTALL}")
    issuer = section.take("issuer", _issuer, GITHUB)
    repository = section.take("repository", _repository(issuer))
    workflow = section.take("workflow", _workflow(issuer, repository or ""))
    refs = section.take("ref", _refs)
    predicates = section.take("predicate", _predicates, frozenset({SLSA_PROVENANCE}))
    repository_id = section.take("repository_id", _numeric_id, None)
    owner_id = section.take("owner_id", _numeric_id, None)
    root = _trusted_root(section)
    section.finish()
    if len(item.problems) > before:
        return None
    return AttestedBy(
        KeylessIdentity(issuer, repository, workflow, refs, repository_id, owner_id, root),
        predicates,
    )


def _issuer(value: Any) -> str:
    """A whole URI; that of a host has no slash at its end."""
    found = values.text(value)
    if not re.fullmatch(r"https://[^\s*?#@]*[^\s*?#@/]", found):
        raise ValueError(f"must be the issuer's https:// address, such as {GITHUB}")
    return found


def _repository(issuer: str) -> Callable[[Any], str]:
    def parse(value: Any) -> str:
        found = values.text(value)
        if issuer == GITHUB and _SLUG.fullmatch(found):
            return f"{_GITHUB_HOST}/{found}"
        if not _URI.fullmatch(found):
            raise ValueError(
                "must be the whole name of one repository: owner/name at GitHub, else its "
                "https:// address, without a pattern"
            )
        return found

    return parse


def _workflow(issuer: str, repository: str) -> Callable[[Any], str]:
    """A file of the repository's own; or, with its `@ref`, of any."""

    def parse(value: Any) -> str:
        found = values.text(value)
        path, at, ref = found.partition("@")
        if issuer == GITHUB and _FILE.fullmatch(path) and not at:
            return f"{repository}/{path}"
        if issuer == GITHUB and re.fullmatch(rf"{_SLUG.pattern}/{_FILE.pattern}", path):
            path = f"{_GITHUB_HOST}/{path}"
        whole = _COMMIT.fullmatch(ref) or (_REF.fullmatch(ref) and not ref.endswith("*"))
        if not _URI.fullmatch(path) or (at and not whole):
            raise ValueError(
                "must be a file such as .github/workflows/release.yml; one of another repository "
                "with its ref, owner/name/.github/workflows/build.yml@refs/tags/v1; elsewhere "
                "than at GitHub its https:// address"
            )
        if not at and not path.startswith(f"{repository}/"):
            raise ValueError("is of another repository: say of which ref, `…@refs/tags/v1`")
        return path + at + ref

    return parse


def _refs(value: Any) -> tuple[str, ...]:
    found = value if isinstance(value, list) else [value]
    for ref in found:
        if not isinstance(ref, str) or not _REF.fullmatch(ref):
            raise ValueError(
                "must be a whole ref, refs/heads/main, a kind of them, refs/tags/*, or a list"
            )
    if not found:
        raise ValueError("must name at least one ref, such as refs/heads/main")
    return tuple(found)


def _predicates(value: Any) -> frozenset[str]:
    found = value if isinstance(value, list) else [value]
    known = ", ".join(PREDICATES)
    for predicate in found:
        text = predicate if isinstance(predicate, str) and predicate.isprintable() else ""
        if text not in PREDICATES and "://" not in text:
            raise ValueError(f"must be {known}, the whole type (https://…), or a list")
    if not found:
        raise ValueError(f"must name at least one type, such as {known}")
    return frozenset(PREDICATES.get(predicate, predicate) for predicate in found)


def _numeric_id(value: Any) -> str:
    found = values.identifier(value)
    if not re.fullmatch(r"[0-9]+", found):
        raise ValueError("must be the number itself, such as 772247423")
    return found


def _trusted_root(section: Section) -> bytes | None:
    """The file's content: what decides is what was read when the configuration was."""
    path: Path | None = section.take("trusted_root", values.path_from(section.base), None)
    if path is None:
        return None
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_ROOT + 1)
    except OSError as error:
        section.problem("trusted_root", f"cannot read {path}: {error.strerror}")
        return None
    try:
        document = strict_json.loads(content) if len(content) <= _MAX_ROOT else None
    except strict_json.StrictJsonError:
        document = None
    kind = document.get("mediaType") if isinstance(document, dict) else None
    if not isinstance(kind, str) or not kind.startswith(_ROOT_TYPE):
        section.problem(
            "trusted_root",
            f"{path} is no trusted root: one JSON document such as trusted_root.json in a TUF "
            "repository of Sigstore's (`gh attestation trusted-root` prints several: take a line)",
        )
        return None
    return content
