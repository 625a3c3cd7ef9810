import base64
import hmac
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.sources.senders import (
    D1,
    D2,
    NOW,
    SECRET,
    changed,
    mac,
    options,
    pushed,
    recorded,
    secrets,
    source,
    with_body,
    with_headers,
)
from webhook_launcher.core.errors import (
    AuthenticationError,
    ContradictionError,
    MalformedEventError,
)
from webhook_launcher.core.model import Mention, Trust
from webhook_launcher.core.signatures import (
    generate_secret,
    parse_signing_key,
    parse_verification_key,
    sign,
)
from webhook_launcher.core.source import Delivery, Source
from webhook_launcher.sources import KINDS, read, receive

PUSH = recorded("generic")
HOST = "registry.example.com"
SOURCE = source("generic", registry=HOST, secrets=secrets(SECRET))
IMAGES = (pushed(f"{HOST}/acme/web:stable", D1), pushed(f"{HOST}/acme/api:v2"))


def mapped(fields: dict[str, str], **given: Any) -> Source:
    """A source with nothing but this mapping."""
    parsed = KINDS["generic"].options["fields"](fields)
    return source("generic", options={"fields": parsed}, **given)


def found(body: Any, fields: dict[str, str], registry: str | None = None) -> tuple[Mention, ...]:
    """What a mapping finds in a body."""
    return read(with_body(PUSH, body), mapped(fields, registry=registry)).mentions


class TestAuthentication:
    def with_hmac(self, **scheme: str) -> Source:
        """A source whose sender makes a MAC like this."""
        return replace(SOURCE, options=options("generic", hmac=scheme))

    def test_a_static_header_is_the_default(self) -> None:
        """Most home-made senders can set a header and nothing more."""
        event = receive(with_headers(PUSH, Authorization="Bearer a-shared-secret"), SOURCE, NOW)
        assert (event.mentions, event.trust) == (IMAGES, Trust.TOKEN)
        with pytest.raises(AuthenticationError):
            receive(PUSH, SOURCE, NOW)

    @pytest.mark.parametrize("algorithm", ["sha1", "sha256", "sha512"])
    @pytest.mark.parametrize("encoding", ["hex", "base64"])
    def test_an_hmac_over_the_body_is_signed(self, algorithm: str, encoding: str) -> None:
        """Algorithm and encoding are the sender's, so they are configured."""
        given = self.with_hmac(header="X-Signature", algorithm=algorithm, encoding=encoding)
        made = mac(PUSH.body, algorithm=algorithm)
        if encoding == "base64":
            made = base64.b64encode(bytes.fromhex(made)).decode()
        for value in (made, f"{algorithm}={made}"):
            event = receive(with_headers(PUSH, X_Signature=value), given, NOW)
            assert event.trust is Trust.SIGNED

    def test_with_an_hmac_configured_the_static_header_is_not_enough(self) -> None:
        """The secret is then a key and must not travel."""
        given = self.with_hmac(header="X-Signature")
        for headers in ({"Authorization": "a-shared-secret"}, {"X_Signature": "a-shared-secret"}):
            with pytest.raises(AuthenticationError):
                receive(with_headers(PUSH, **headers), given, NOW)

    def test_standard_webhooks_keys_sign_as_well(self) -> None:
        """Any library of that kind can then send events of its own shape."""
        secret = generate_secret(lambda size: b"\x09" * size)
        given = replace(SOURCE, keys=(parse_verification_key("k", secret),))
        seconds = int(NOW.timestamp())
        signature = sign("m1", seconds, PUSH.body, [parse_signing_key(secret)])
        sent = with_headers(
            PUSH, webhook_id="m1", webhook_timestamp=str(seconds), webhook_signature=signature
        )
        assert receive(sent, given, NOW).trust is Trust.SIGNED
        with pytest.raises(AuthenticationError):
            receive(with_headers(PUSH, Authorization="a-shared-secret"), given, NOW)

    @pytest.mark.parametrize(
        "value",
        [
            "x",
            {},
            {"algorithm": "sha256"},
            {"header": ""},
            {"header": "X", "algorithm": "md5"},
            {"header": "X", "encoding": "base32"},
            {"header": "X", "signed": "time"},
            {"header": "X", "secret": "y"},
            {"header": "X", "algorithm": ["sha256"]},
        ],
    )
    def test_a_scheme_that_does_not_exist_is_a_configuration_error(self, value: object) -> None:
        """The text says what to write instead."""
        with pytest.raises(ValueError, match=r"must|needs|known"):
            KINDS["generic"].options["hmac"](value)


class TestTimestamped:
    SOURCE = replace(
        SOURCE,
        options=options("generic", hmac={"header": "Stripe-Signature", "signed": "timestamped"}),
    )

    def signed(self, seconds: int, **headers: str) -> Delivery:
        """As Stripe signs: `t=...,v1=...` over time and body."""
        content = f"{seconds}.".encode() + PUSH.body
        made = hmac.new(SECRET, content, "sha256").hexdigest()
        value = headers.get("value", "t={t},v1=00,v1={v1},v0=00").format(t=seconds, v1=made)
        return with_headers(PUSH, Stripe_Signature=value)

    @pytest.mark.parametrize("offset", [-300, 0, 300])
    def test_a_time_within_the_tolerance_is_signed(self, offset: int) -> None:
        """One of several `v1` is enough, which is how Stripe rotates."""
        seconds = int(NOW.timestamp()) + offset
        event = receive(self.signed(seconds), self.SOURCE, NOW)
        assert event.trust is Trust.SIGNED
        assert event.signed_at == NOW + timedelta(seconds=offset)

    @pytest.mark.parametrize("offset", [-301, 301])
    def test_a_time_outside_is_refused_in_both_directions(self, offset: int) -> None:
        """Stripe's own library takes any future for true."""
        with pytest.raises(AuthenticationError):
            receive(self.signed(int(NOW.timestamp()) + offset), self.SOURCE, NOW)

    @pytest.mark.parametrize(
        "value",
        [
            "",
            "bad_header",
            "v1={v1}",
            "t={t}",
            "t={t},v0={v1}",
            "t={t},t={t},v1={v1}",
            "t=٣,v1={v1}",
            "t={t},v1=",
            "t={t}," + "v1=00," * 2000,
        ],
    )
    def test_a_header_of_another_shape_is_refused(self, value: str) -> None:
        """Two times would let one be checked and the other be signed."""
        with pytest.raises(AuthenticationError):
            receive(self.signed(int(NOW.timestamp()), value=value), self.SOURCE, NOW)


class TestMapping:
    def test_each_entry_of_a_list_is_an_image(self) -> None:
        """The recording: a list, conditions, an id in a header, an actor in the body."""
        statement = read(PUSH, SOURCE)
        assert statement.mentions == IMAGES
        assert (statement.delivery_id, statement.actor) == ("90b1", "alice")

    @pytest.mark.parametrize(
        "change", [("event", "chart.pushed"), ("final", False), ("event", None)]
    )
    def test_a_delivery_that_does_not_fit_the_conditions_is_ignored(
        self, change: tuple[str, Any]
    ) -> None:
        """One URL often gets more than pushes."""
        statement = read(changed(PUSH, change), SOURCE)
        assert statement.mentions == ()
        assert change[0] in (statement.ignored or "")

    def test_a_reference_is_read_as_people_write_it(self) -> None:
        """Docker Hub's name is left away, digests and tags may stand in it."""
        fields = {"reference": "image.0"}
        assert found({"image": ["acme/web:v1"]}, fields) == (pushed("docker.io/acme/web:v1"),)
        assert found({"image": [f"ghcr.io/acme/web:v1@{D1}"]}, fields) == (
            pushed("ghcr.io/acme/web:v1", D1),
        )

    def test_a_repository_may_name_its_registry_where_none_is_configured(self) -> None:
        """And may repeat the configured one."""
        fields = {"repository": "r", "tag": "t"}
        whole = {"r": "ghcr.io/acme/web", "t": "v1"}
        expected = (pushed("ghcr.io/acme/web:v1"),)
        assert found(whole, fields) == expected
        assert found(whole, fields, registry="ghcr.io") == expected
        assert found({"r": "acme/web", "t": "v1"}, fields, registry="ghcr.io") == expected

    def test_another_registry_than_the_configured_one_is_refused(self) -> None:
        """It pins, as everywhere."""
        with pytest.raises(ContradictionError):
            found({"i": "quay.io/acme/web:v1"}, {"reference": "i"}, registry="ghcr.io")

    @pytest.mark.parametrize(
        "body", [{}, {"r": None}, {"r": ""}, {"r": "a/b"}, {"r": "a/b", "t": ""}]
    )
    def test_what_names_no_image_with_a_tag_is_ignored(self, body: dict[str, Any]) -> None:
        """The mapping may not fit every delivery, and `latest` is not invented."""
        given = mapped({"repository": "r", "tag": "t"}, registry="ghcr.io")
        assert read(with_body(PUSH, body), given).ignored

    @pytest.mark.parametrize(
        "body",
        [
            {"r": 7, "t": "v1"},
            {"r": "a/b", "t": ["v1"]},
            {"r": "a/b:v2", "t": "v1"},
            {"r": "A/b", "t": "v1"},
            {"r": "a/b", "t": "v 1"},
            {"r": "a/b", "t": "v1", "d": "sha256:1"},
            {"r": "a" * 2000, "t": "v1"},
        ],
    )
    @pytest.mark.parametrize("registry", [None, "ghcr.io"])
    def test_what_cannot_be_read_is_refused(self, body: Any, registry: str | None) -> None:
        """The grammar is as strict as for every other kind."""
        with pytest.raises(MalformedEventError):
            found(body, {"repository": "r", "tag": "t", "digest": "d"}, registry)

    def test_fields_that_disagree_are_refused(self) -> None:
        """A reference may have tag and digest, and so may fields beside it."""
        fields = {"reference": "i", "tag": "t", "digest": "d"}
        body = {"i": f"ghcr.io/a/b:v1@{D1}", "t": "v1", "d": D1}
        assert found(body, fields) == (pushed("ghcr.io/a/b:v1", D1),)
        for change in ({"t": "v2"}, {"d": D2}):
            with pytest.raises(ContradictionError):
                found({**body, **change}, fields)

    def test_without_an_id_no_delivery_is_a_repetition(self) -> None:
        """A body without id and time may be sent twice and meant twice."""
        given = mapped({"reference": "i"})
        body = with_body(PUSH, {"i": "a/b:v1"})
        assert read(body, given).delivery_id is None
        named = mapped({"reference": "i", "id": "n"})
        assert read(with_body(PUSH, {"i": "a/b:v1", "n": "1"}), named).delivery_id == "1"

    def test_whole_numbers_are_ids_and_tags(self) -> None:
        """Build numbers are numbers in most senders' JSON; a text of digits says the same."""
        fields = {"repository": "r", "tag": "t", "id": "n"}
        given = mapped(fields, registry="ghcr.io")
        for build in (8812, "8812"):
            statement = read(with_body(PUSH, {"r": "a/b", "t": build, "n": build}), given)
            assert statement.mentions == (pushed("ghcr.io/a/b:8812"),)
            assert statement.delivery_id == "8812"

    @pytest.mark.parametrize("value", [1.1, 1e3, True, False, [1], {"a": 1}])
    @pytest.mark.parametrize("field", ["t", "n"])
    def test_other_values_are_neither(self, field: str, value: object) -> None:
        """1.10 and 1.1 are one number and two tags, so which was meant cannot be known."""
        given = mapped({"repository": "r", "tag": "t", "id": "n"}, registry="ghcr.io")
        body = with_body(PUSH, {"r": "a/b", "t": "v1", "n": "1", field: value})
        with pytest.raises(MalformedEventError, match=rf"^{field} is ") as refused:
            read(body, given)
        if isinstance(value, float):
            assert "in quotes" in refused.value.advice()

    @pytest.mark.parametrize("field", ["r", "d"])
    def test_a_number_is_no_repository_and_no_digest(self, field: str) -> None:
        """Nobody means one."""
        body = {"r": "a/b", "t": "v1", "d": D1, field: 5}
        with pytest.raises(MalformedEventError):
            found(body, {"repository": "r", "tag": "t", "digest": "d"}, "ghcr.io")

    def test_a_repository_may_name_the_configured_host_and_no_other(self) -> None:
        """`evil.example/web` is a legal path inside our registry, and never what was meant."""
        fields = {"repository": "r", "tag": "t"}
        expected = (pushed("docker.io/acme/web:v1"),)
        for said in ("acme/web", "docker.io/acme/web", "index.docker.io/acme/web"):
            assert found({"r": said, "t": "v1"}, fields, "docker.io") == expected
        for said in ("evil.example/acme/web", "localhost/acme/web", "[::1]:5000/acme/web"):
            with pytest.raises(ContradictionError, match=r"^r is "):
                found({"r": said, "t": "v1"}, fields, "docker.io")

    def test_a_source_without_mapping_reads_nothing(self) -> None:
        """Even if the configuration let it through."""
        with pytest.raises(MalformedEventError, match="fields"):
            read(PUSH, replace(SOURCE, options={}))

    def test_a_list_that_is_none_is_refused(self) -> None:
        """As is one that is too long to be a push."""
        shapes: tuple[Any, ...] = ({}, [{}] * 300)
        for images in shapes:
            with pytest.raises(MalformedEventError, match="images"):
                read(changed(PUSH, ("images", images)), SOURCE)

    @pytest.mark.parametrize(
        ("option", "value"),
        [
            ("fields", None),
            ("fields", {}),
            ("fields", {"tag": "t"}),
            ("fields", {"reference": "a", "repository": "b"}),
            ("fields", {"reference": ""}),
            ("fields", {"reference": "a..b"}),
            ("fields", {"reference": "a.12345"}),
            ("fields", {"reference": 7}),
            ("fields", {"image": "a"}),
            ("when", {}),
            ("when", {"a": ""}),
            ("when", {"a": ["b"]}),
            ("when", "a"),
            ("each", "a."),
            ("id_header", 7),
        ],
    )
    def test_a_mapping_that_cannot_work_is_a_configuration_error(
        self, option: str, value: object
    ) -> None:
        """The text says what to write; the configuration adds where."""
        with pytest.raises(ValueError, match=r"must|needs|known"):
            KINDS["generic"].options[option](value)


class TestPackageUrls:
    FIELDS = {"purl": "subject.id"}  # noqa: RUF012 - read only

    def found(self, url: str, registry: str | None = None) -> tuple[Mention, ...]:
        """What a CDEvent about this artifact names."""
        return found({"subject": {"id": url}}, self.FIELDS, registry)

    def test_an_oci_package_url_names_an_image(self) -> None:
        """CDEvents name artifacts so; the digest's colon is percent-encoded."""
        digest = D1.replace(":", "%3A")
        url = f"pkg:oci/web@{digest}?repository_url=ghcr.io/acme/web&tag=v1&arch=amd64"
        assert self.found(url) == (pushed("ghcr.io/acme/web:v1", D1),)

    def test_without_repository_url_the_configured_registry_is_meant(self) -> None:
        """The qualifier is optional in the specification."""
        assert self.found("pkg:oci/web?tag=v1", "ghcr.io") == (pushed("ghcr.io/web:v1"),)
        with pytest.raises(MalformedEventError):
            self.found("pkg:oci/web?tag=v1")

    def test_a_name_that_is_not_the_repositorys_is_refused(self) -> None:
        """The last part of `repository_url` is the name; `web` stored as `api` is nobody's."""
        with pytest.raises(ContradictionError, match="repository_url"):
            self.found("pkg:oci/web?repository_url=ghcr.io/acme/api&tag=v1")

    @pytest.mark.parametrize("url", ["pkg:golang/example.com/a@v1", "pkg:docker/a@v1", "x", "pkg:"])
    def test_other_types_are_no_images(self, url: str) -> None:
        """An event about a Go module is none of ours."""
        assert self.found(url) == ()

    @pytest.mark.parametrize(
        "url",
        [
            "pkg:oci/web@sha256%3A12?repository_url=ghcr.io/acme/web&tag=v1",
            "pkg:oci/web?repository_url=ghcr.io/acme/web&tag=v1&tag=v2",
            "pkg:oci/web?repository_url=ghcr.io/acme/web&tag=v%ff",
            "pkg:oci/web?repository_url=Web&tag=v1",
            "pkg:oci/web?" + "a=b&" * 40,
        ],
    )
    def test_a_broken_one_is_refused(self, url: str) -> None:
        """A qualifier that stands there twice is read differently by two readers."""
        with pytest.raises(MalformedEventError):
            self.found(url)
