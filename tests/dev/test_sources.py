"""The machine's apt sources, in both spellings: a wrong mirror means no test machine."""

from pathlib import Path

from testbed.sources import Source, mirror_of, parse_deb822, parse_one_line, read_sources

DEB822 = """\
# written by the installer
Types: deb deb-src
URIs: http://mirror.test/debian
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/archive.gpg

Types: deb
# a comment inside a stanza
URIs: https://one.test/security https://two.test/security
Suites: bookworm-security
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 mQ==
 -----END PGP PUBLIC KEY BLOCK-----

Types: deb
URIs: http://off.test/debian
Suites: bookworm
Components: main
Enabled: no

Types: deb-src
URIs: http://source.test/debian
Suites: bookworm
Components: main
"""

ONE_LINE = """\
# deb http://commented.test/debian bookworm main
deb-src http://source.test/debian bookworm main
deb [arch=amd64 signed-by=/etc/apt/Keys/Archive.gpg] http://mirror.test/debian bookworm main # ours
deb cdrom:[Debian] bookworm main
deb https://vendor.test/apt stable
"""


def test_stanzas_are_read_with_everything_that_decides() -> None:
    """Disabled and source-only stanzas must not be taken for mirrors of packages."""
    first, second, third = parse_deb822(DEB822)

    assert first == Source(
        uri="http://mirror.test/debian",
        suites=("bookworm", "bookworm-updates"),
        components=("main", "contrib"),
        signed_by="/usr/share/keyrings/archive.gpg",
    )
    assert [second.uri, third.uri] == ["https://one.test/security", "https://two.test/security"]
    assert second.signed_by is None


def test_one_line_entries_keep_the_case_of_the_keyring() -> None:
    """A keyring's path is a file name; apt's option names are not."""
    found = parse_one_line(ONE_LINE)

    assert found[0] == Source(
        uri="http://mirror.test/debian",
        suites=("bookworm",),
        components=("main",),
        signed_by="/etc/apt/Keys/Archive.gpg",
    )
    assert "https://vendor.test/apt" in [source.uri for source in found]
    assert not {"http://commented.test/debian", "http://source.test/debian"} & {
        source.uri for source in found
    }


def test_the_mirror_is_the_distributions_own() -> None:
    """A vendor's repository or the security archive has no other suite to offer."""
    vendor = Source(uri="https://vendor.test/apt", suites=("stable",), components=("main",))
    security = Source(uri="https://sec.test/x", suites=("bookworm-security",), components=("main",))
    disc = Source(uri="cdrom:[Debian]", suites=("bookworm",), components=("main",))
    mirror = Source(uri="http://mirror.test/debian", suites=("bookworm",), components=("main",))

    assert mirror_of([vendor, security, disc, mirror], "bookworm") is mirror
    assert mirror_of([vendor, security, disc], "bookworm") is None


def test_both_spellings_are_found_where_apt_keeps_them(tmp_path: Path) -> None:
    """Images of one release differ in where they keep their sources."""
    (tmp_path / "sources.list").write_text("deb http://a.test/debian bookworm main\n")
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list.d" / "b.sources").write_text(DEB822)
    (tmp_path / "sources.list.d" / "c.list.disabled").write_text(
        "deb http://c.test/debian bookworm main\n"
    )

    assert [source.uri for source in read_sources(tmp_path)] == [
        "http://a.test/debian",
        "http://mirror.test/debian",
        "https://one.test/security",
        "https://two.test/security",
    ]
