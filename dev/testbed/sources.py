"""The machine's own apt sources: which mirror it uses and which keyring vouches for it.

Both spellings are read: deb822 stanzas (`*.sources`) and one-line entries (`*.list`).
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Source:
    """One mirror of binary packages, as the machine's administrator wrote it."""

    uri: str
    suites: tuple[str, ...]
    components: tuple[str, ...]
    signed_by: str | None = None


def read_sources(apt: Path = Path("/etc/apt")) -> list[Source]:
    """Return every enabled source of binary packages below `apt`."""
    files = [apt / "sources.list", *sorted((apt / "sources.list.d").glob("*"))]
    found: list[Source] = []
    for path in files:
        if not path.is_file():
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        if path.suffix == ".sources":
            found += parse_deb822(text)
        elif path.suffix == ".list":
            found += parse_one_line(text)
    return found


def mirror_of(sources: Iterable[Source], suite: str) -> Source | None:
    """Return the first mirror that serves the distribution's own `suite`, over http or https."""
    for source in sources:
        own = suite in source.suites and "main" in source.components
        if own and source.uri.startswith(("http://", "https://")):
            return source
    return None


def parse_deb822(text: str) -> list[Source]:
    """Read the stanza format; a stanza with several URIs gives several sources."""
    found: list[Source] = []
    for fields in _stanzas(text):
        if "deb" not in fields.get("types", "").split():
            continue
        if fields.get("enabled", "yes").strip().lower() in {"no", "false", "0"}:
            continue
        found += [
            Source(
                uri=uri,
                suites=tuple(fields.get("suites", "").split()),
                components=tuple(fields.get("components", "").split()),
                signed_by=_keyring(fields.get("signed-by")),
            )
            for uri in fields.get("uris", "").split()
        ]
    return found


def _stanzas(text: str) -> Iterator[dict[str, str]]:
    for block in re.split(r"\n[ \t]*\n", text):
        fields: dict[str, str] = {}
        name = ""
        for line in block.splitlines():
            if line.startswith("#"):
                continue
            if line[:1] in {" ", "\t"} and name:
                fields[name] += f"\n{line.strip()}"
            elif ":" in line:
                name, _, value = line.partition(":")
                name = name.strip().lower()
                fields[name] = value.strip()
        if fields:
            yield fields


def parse_one_line(text: str) -> list[Source]:
    """Read `deb [option=value ...] URI SUITE COMPONENT...` entries."""
    found: list[Source] = []
    for line in text.splitlines():
        match = re.match(r"\s*deb\s+(?:\[(?P<options>[^\]]*)\]\s*)?(?P<rest>[^#]+)", line)
        if match is None:
            continue
        words = match["rest"].split()
        if len(words) < 2:
            continue
        options = dict(word.partition("=")[::2] for word in (match["options"] or "").split())
        found.append(
            Source(
                uri=words[0],
                suites=(words[1],),
                components=tuple(words[2:]),
                signed_by=_keyring(options.get("signed-by")),
            )
        )
    return found


def _keyring(value: str | None) -> str | None:
    """Return a keyring's path; an embedded key block is left to apt's trusted keys."""
    return value if value is not None and value.startswith("/") else None
