import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook_launcher.core.errors import InvalidReferenceError
from webhook_launcher.core.reference import (
    Digest,
    Reference,
    Repository,
    make_repository,
    make_tag,
    parse_reference,
    parse_registry,
    parse_repository,
)

HEX = "0123456789abcdef" * 4
DIGEST = f"sha256:{HEX}"


class TestDigest:
    @pytest.mark.parametrize("text", [DIGEST, f"sha512:{HEX}{HEX}"])
    def test_a_whole_digest_is_one(self, text: str) -> None:
        """The two algorithms of the image specification, in full length."""
        assert Digest(text) == text

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "sha256:",
            HEX,
            f"sha256:{HEX[:60]}",
            f"sha256:{HEX}0",
            f"sha256:{HEX}\n",
            f" {DIGEST}",
            DIGEST.upper(),
            f"sha512:{HEX}",
            f"md5:{HEX[:32]}",
            "sha256:" + "\N{ARABIC-INDIC DIGIT ZERO}" * 64,
        ],
    )
    def test_anything_less_or_more_is_none(self, text: str) -> None:
        """A prefix match would let a second digest, or a line break, ride along."""
        with pytest.raises(InvalidReferenceError):
            Digest(text)

    def test_short_is_for_people(self) -> None:
        """What `docker images` shows."""
        assert Digest(DIGEST).short == "0123456789ab"


class TestRegistry:
    @pytest.mark.parametrize(
        ("text", "host"),
        [
            ("ghcr.io", "ghcr.io"),
            ("GHCR.io", "ghcr.io"),
            ("registry:5000", "registry:5000"),
            ("127.0.0.1:5000", "127.0.0.1:5000"),
            ("[::1]:5000", "[::1]:5000"),
            ("localhost", "localhost"),
            ("index.docker.io", "docker.io"),
            ("registry-1.docker.io", "docker.io"),
            ("registry.hub.docker.com", "docker.io"),
        ],
    )
    def test_hosts_are_lower_cased_and_docker_hubs_names_folded(self, text: str, host: str) -> None:
        """One registry must have one name, or a push does not find its workload."""
        assert parse_registry(text) == host

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "https://ghcr.io",
            "ghcr.io/acme",
            "user@ghcr.io",
            "ghcr.io:",
            "ghcr.io:0",
            "ghcr.io:65536",
            "ghcr.io:99999",
            "-ghcr.io",
            "ghcr..io",
            "ghcr.io\n",
            "a" * 300,
            "doc\N{KELVIN SIGN}er.io",
        ],
    )
    def test_what_is_no_host_is_refused(self, text: str) -> None:
        """A host decides where credentials go; the Kelvin sign lower-cases to a plain k."""
        with pytest.raises(InvalidReferenceError):
            parse_registry(text)


class TestRepository:
    def test_library_is_added_on_docker_hub_only(self) -> None:
        """`nginx` on another registry is a repository of that name."""
        assert make_repository("docker.io", "nginx").path == "library/nginx"
        assert make_repository("ghcr.io", "nginx").path == "nginx"

    @pytest.mark.parametrize("path", ["a", "a/b", "a__b/c-d.e/f--g", "am/am.kebab.api"])
    def test_the_oci_grammar_is_accepted(self, path: str) -> None:
        """Components of letters and digits, separated by one `.`, `_`, `__` or dashes."""
        assert make_repository("ghcr.io", path).path == path

    @pytest.mark.parametrize(
        "path",
        ["", "/a", "a/", "a//b", "A/b", "a..b", "a___b", "-a", "a-", "../etc", "a\n", "a" * 256],
    )
    def test_anything_else_is_refused(self, path: str) -> None:
        """The path becomes a part of URLs and command lines."""
        with pytest.raises(InvalidReferenceError):
            make_repository("ghcr.io", path)

    def test_the_added_library_counts_for_the_length(self) -> None:
        """255 characters are the limit of the whole path, not of what was written."""
        assert len(make_repository("docker.io", "a" * 247).path) == 255
        with pytest.raises(InvalidReferenceError):
            make_repository("docker.io", "a" * 248)

    def test_a_repository_has_neither_tag_nor_digest(self) -> None:
        """A workload's `image` is a repository; a tag there would be ignored in silence."""
        assert str(parse_repository("nginx")) == "docker.io/library/nginx"
        for text in ("nginx:1", f"nginx@{DIGEST}", "nginx:"):
            with pytest.raises(InvalidReferenceError):
                parse_repository(text)


class TestReference:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("nginx", Reference(Repository("docker.io", "library/nginx"))),
            ("acme/web:1", Reference(Repository("docker.io", "acme/web"), "1")),
            ("localhost/web", Reference(Repository("localhost", "web"))),
            ("registry:5000/web", Reference(Repository("registry:5000", "web"))),
            ("registry:5000/a/web:2", Reference(Repository("registry:5000", "a/web"), "2")),
            ("[::1]:5000/web:2", Reference(Repository("[::1]:5000", "web"), "2")),
            (
                f"ghcr.io/acme/web:v1@{DIGEST}",
                Reference(Repository("ghcr.io", "acme/web"), "v1", Digest(DIGEST)),
            ),
            (
                f"GHCR.IO/acme/web@{DIGEST}",
                Reference(Repository("ghcr.io", "acme/web"), None, Digest(DIGEST)),
            ),
        ],
    )
    def test_a_reference_is_read_as_docker_reads_it(self, text: str, expected: Reference) -> None:
        """People paste what `docker pull` takes."""
        assert parse_reference(text) == expected

    @pytest.mark.parametrize(
        "text",
        [
            "",
            ":",
            "@",
            "web:",
            "web@",
            "web@sha256:short",
            f"web@{DIGEST}@{DIGEST}",
            "web:a:b",
            "web:" + "a" * 129,
            "web: latest",
            "web:-x",
            "--help",
            "ghcr.io/",
            "ghcr.io/acme/web:v1 --privileged",
            "http://ghcr.io/acme/web",
            "a" * 5000,
        ],
    )
    def test_what_is_no_reference_is_refused(self, text: str) -> None:
        """No tag is invented, nothing that looks like an option gets through."""
        with pytest.raises(InvalidReferenceError):
            parse_reference(text)

    def test_only_a_digest_can_be_pinned(self) -> None:
        """A tag is never pulled."""
        reference = parse_reference("ghcr.io/acme/web:v1")
        with pytest.raises(InvalidReferenceError):
            _ = reference.pinned
        assert reference.at(Digest(DIGEST)).pinned == f"ghcr.io/acme/web@{DIGEST}"

    @given(st.text(alphabet="abcAZ09._-:/@[] \n\u212a", max_size=400))
    def test_any_text_is_a_reference_or_an_invalid_one(self, text: str) -> None:
        """What is accepted must come out again as it went in: there is one reading of it."""
        try:
            reference = parse_reference(text)
        except InvalidReferenceError:
            return
        assert parse_reference(str(reference)) == reference

    @given(st.text(max_size=200))
    def test_error_texts_are_safe_for_a_log_line(self, text: str) -> None:
        """Foreign text in a log must not make lines or colours of its own."""
        for parse in (parse_reference, parse_registry, make_tag, Digest):
            shown = ""
            try:
                parse(text)
            except InvalidReferenceError as error:
                shown = str(error)
            assert shown.isascii()
            assert shown.isprintable()

    @pytest.mark.parametrize(
        "text", ["a-" * 500, "a" * 1000, "a/" * 500, "a." * 511 + "-", "a:" * 500]
    )
    def test_refusing_takes_no_time(self, text: str) -> None:
        """Patterns that try every split of a long text are how a small request stops a service."""
        start = time.thread_time()
        for _ in range(50):
            with pytest.raises(InvalidReferenceError):
                parse_reference(text + "!")
        assert time.thread_time() - start < 0.5
