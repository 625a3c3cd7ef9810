"""Single values: what is accepted, and what the message says otherwise."""

from pathlib import Path

import pytest

from tests.config.faults import faults_of, good


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("500ms", 0.5),
        ("30s", 30.0),
        ("15m", 900.0),
        ("72h", 259200.0),
        ("7d", 604800.0),
        ("1.5s", 1.5),
    ],
)
def test_durations_of_the_contract(text: str, seconds: float) -> None:
    """Each unit that the contract names."""
    assert (
        good("workloads.web.health", {"timeout": text}).workloads["web"].health.timeout == seconds
    )


@pytest.mark.parametrize(
    "value",
    [
        30,
        "30",
        "30 s",
        "-1s",
        "0s",
        "1e3s",
        "s",
        "",
        None,
        "99999d",
        "9" * 400 + "d",
        [],
        True,
        "٣s",
    ],
)
def test_what_is_no_duration_is_refused(value: object) -> None:
    """A number without unit might be seconds or minutes: it is not guessed."""
    assert list(faults_of("workloads.web.health", {"timeout": value})) == [
        "workloads.web.health.timeout"
    ]


def test_settle_may_be_zero() -> None:
    """Who wants no settle time may say so; a time-out of zero could only fail."""
    assert good("workloads.web.health", {"settle": "0s"}).workloads["web"].health.settle == 0.0


@pytest.mark.parametrize(("text", "size"), [("64KiB", 65536), ("1MiB", 1024**2), ("512B", 512)])
def test_sizes_of_the_contract(text: str, size: int) -> None:
    """Binary units, as the contract writes them."""
    assert good("limits", {"body": text}).limits.body == size


@pytest.mark.parametrize(
    "value", [1024, "1MB", "1M", "0KiB", "-1KiB", "9" * 5000 + "B", "2GiB", None]
)
def test_what_is_no_size_is_refused(value: object) -> None:
    """MB is a million to some and a MiB to others; and a body is held in memory."""
    assert list(faults_of("limits", {"body": value})) == ["limits.body"]


@pytest.mark.parametrize("value", ["off", False])
def test_the_poll_can_be_turned_off(value: object) -> None:
    """`every: off`, as the contract writes it and as a JSON writer would."""
    assert good("poll", {"every": value}).poll.every is None


@pytest.mark.parametrize("value", ["500ms", "on", True, None, 900])
def test_a_poll_that_would_hammer_or_means_nothing_is_refused(value: object) -> None:
    """Registries count requests; below a second is a mistake, and `on` says not how often."""
    assert list(faults_of("poll", {"every": value})) == ["poll.every"]


def test_a_workload_has_its_own_interval_and_inherits_the_rest() -> None:
    """The seed's loop looked every few seconds at one workload: that stays possible for one."""
    settings = good("workloads.web.poll", {"every": "5s"})
    assert settings.workloads["web"].poll.every == 5.0
    assert settings.workloads["web"].poll.jitter == 0.2
    assert settings.workloads["site"].poll.every == 900.0


@pytest.mark.parametrize("value", ["20", "100%", 0.2, "-1%", "20 %"])
def test_what_is_no_percentage_is_refused(value: object) -> None:
    """A jitter of 100% could poll at once, for ever."""
    assert list(faults_of("poll", {"jitter": value})) == ["poll.jitter"]


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:8080", ("127.0.0.1", 8080)),
        ("0.0.0.0:80", ("0.0.0.0", 80)),  # noqa: S104 - only parsed
        (":80", ("0.0.0.0", 80)),  # noqa: S104 - only parsed
        ("[::]:80", ("::", 80)),
        ("launcher.internal:80", ("launcher.internal", 80)),
    ],
)
def test_addresses_to_listen_on(text: str, address: tuple[str, int]) -> None:
    """IPv4, IPv6, a name, or every address."""
    assert good("listen", text).listen == address


@pytest.mark.parametrize(
    "value",
    [8080, "8080", "http://127.0.0.1:80", "a b:80", "127.0.0.1:65536", "127.0.0.1:", "h:٣", None],
)
def test_what_is_no_address_is_refused(value: object) -> None:
    """The launcher must not listen somewhere else than was meant."""
    assert faults_of("listen", value) == {"listen": "must be host:port such as 127.0.0.1:8080"}


@pytest.mark.parametrize("value", [0, 65, "4", 4.0, True, None])
def test_parallel_is_a_small_whole_number(value: object) -> None:
    """Each is a thread."""
    assert faults_of("parallel", value) == {"parallel": "must be a whole number from 1 to 64"}


@pytest.mark.parametrize(
    ("word", "meant"), [("no", False), ("off", False), ("yes", True), (False, False)]
)
def test_booleans_may_be_written_as_in_compose_files(word: object, meant: bool) -> None:
    """`rollback: no` must not be an unexplained text."""
    assert good("workloads.web.rollback", word).workloads["web"].rollback is meant


@pytest.mark.parametrize("value", ["nein", 0, None, []])
def test_what_is_no_boolean_is_refused(value: object) -> None:
    """Never by truthiness: the text "false" is true in Python."""
    assert faults_of("workloads.web.rollback", value) == {
        "workloads.web.rollback": "must be true or false"
    }


def test_relative_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    """The directory a service is started from is an accident; where the file is, is not."""
    (tmp_path / "conf").mkdir()
    settings = good("state", "../state", tmp_path / "conf/config.yml")
    assert settings.state.resolve() == tmp_path / "state"


@pytest.mark.parametrize("value", ["", " ", "a\0b", 5, None])
def test_what_is_no_path_is_refused(value: object) -> None:
    """A NUL in a path makes Python raise ValueError wherever it is used first."""
    assert list(faults_of("state", value)) == ["state"]
