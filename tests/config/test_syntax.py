"""YAML as people write it, and as somebody hostile or careless writes it."""

from traceback import format_exception

import pytest

from tests.builders import CONFIGURATION
from tests.config.faults import faults, good, read, with_changes
from webhook_launcher.core.errors import ConfigurationError

REST = """
workloads:
  web: {image: ghcr.io/acme/web, track: {tag: stable}, compose: {inline: {services: {web: {}}}}}
"""


def test_json_is_yaml() -> None:
    """Programs that write configurations write JSON."""
    assert set(read(with_changes({})).workloads) == set(CONFIGURATION["workloads"])


def test_a_key_that_appears_twice_is_refused_with_its_line() -> None:
    """PyYAML keeps the last one in silence, so half of a merged file would be lost."""
    found = faults(f"parallel: 1\nparallel: 2\n{REST}\n  web: {{}}\n")
    assert found == {
        "line 2, column 1": "the key 'parallel' appears twice",
        "line 7, column 3": "the key 'web' appears twice",
    }


def test_two_spellings_of_one_number_are_one_key() -> None:
    """Names are texts: 1 and 0x1 would be the same name, and one workload would vanish."""
    assert "appears twice" in str(faults("workloads: {1: {}, 0x1: {}}"))


@pytest.mark.parametrize("key", ["[a, b]", "{a: b}", "true", "null", "1.5"])
def test_a_key_that_is_no_text_is_refused(key: str) -> None:
    """Such keys have no path to report and no name to use; PyYAML raises TypeError for some."""
    assert faults(f"? {key}\n: 1\n{REST}") == {
        "line 1, column 3": "a key must be text; put it in quotes"
    }


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "must be a mapping"),
        ("- a\n- b\n", "must be a mapping"),
        ("just text", "must be a mapping"),
        ("a: 1\n--- \nb: 2\n", "single document"),
        ("a:\n\tb: 1\n", "indents with spaces"),
        ("a: [1, 2\n", "expected"),
        ("a: 'open\n", "end of stream"),
        ("a: \x00\n", "not YAML"),
        ("a: " + "[" * 5000, "nested too deep"),
        ("a: " + "{a: " * 300 + "1" + "}" * 300, ""),
        ("parallel: " + "9" * 5000, "number"),
        ("a: &a [*a]\n", "inside its own anchor"),
        ("a: !!python/object:os.system x\n", "tags are not used"),
        ("a: !!timestamp never\n", "tags are not used"),
        ("a: !!binary '%'\n", "tags are not used"),
        ("a: !mine!yours x\n", "must be put in quotes"),
    ],
)
def test_what_is_no_usable_yaml_is_one_problem(text: str, words: str) -> None:
    """Whatever the file holds, `check` answers with ConfigurationError: never with a traceback."""
    assert words in str(faults(text))


def test_aliases_and_merges_of_ordinary_size_work() -> None:
    """They are how people avoid repeating themselves, in compose files too."""
    settings = read(
        """
workloads:
  web: &web
    image: ghcr.io/acme/web
    track: {tag: stable}
    compose: {inline: {services: {web: {}}}}
  next:
    <<: *web
    track: {tag: next}
"""
    )
    assert settings.workloads["next"].track.tag == "next"
    assert settings.workloads["next"].repository == settings.workloads["web"].repository


def test_a_mapping_may_be_merged_before_it_is_built() -> None:
    """Overriding a merged key is no duplicate, wherever the two mappings stand."""
    text = """
workloads:
  web: {image: ghcr.io/acme/web, track: {tag: stable}, compose: {inline: {services: &all
    {web: {<<: &base {init: true}, init: false}, jobs: {<<: *base}}}}}
"""
    inline = read(text).workloads["web"].project.inline
    assert inline == {"services": {"web": {"init": False}, "jobs": {"init": True}}}


@pytest.mark.parametrize(
    "form", ["[*{0}, *{0}, *{0}, *{0}, *{0}, *{0}, *{0}, *{0}]", "{{<<: [*{0}, *{0}]}}"]
)
def test_a_billion_laughs_are_refused_at_once(form: str) -> None:
    """Forty lines of aliases expand to more than there is memory; nothing is built from them."""
    lines = ["a0: &a0 {k: v}"]
    lines += [f"a{n}: &a{n} " + form.format(f"a{n - 1}") for n in range(1, 40)]
    text = "\n".join([*lines, REST])
    assert "aliases (*) make the document too large" in str(faults(text))


def test_words_are_words_as_in_compose_files() -> None:
    """YAML 1.1 reads 22:22 as 1342, off as false and a date as no text: compose does not."""
    text = """
workloads:
  on:
    image: ghcr.io/acme/web
    track: {tag: 2026-01-31}
    compose: {inline: {services: {web: {ports: [22:22], command: [off, 1:30], mode: 0440}}}}
"""
    workload = read(text).workloads["on"]
    assert workload.track.tag == "2026-01-31"
    assert workload.project.inline == {
        "services": {"web": {"ports": ["22:22"], "command": ["off", "1:30"], "mode": 0o440}}
    }


def test_a_number_where_a_tag_belongs_is_not_guessed() -> None:
    """`tag: 1.10` is the number 1.1 to YAML: following another tag in silence would be worse."""
    found = faults(REST.replace("stable", "1.10"))
    assert found == {"workloads.web.track.tag": "must be text; put it in quotes"}


def test_a_number_that_json_cannot_hold_is_refused_in_inline_documents() -> None:
    """The launcher writes the document as JSON; compose would refuse `Infinity` at deploy time."""
    found = faults(REST.replace("{web: {}}", "{web: {cpus: .inf}}"))
    assert found == {"workloads.web.compose.inline": "has a number that is not finite"}


def test_a_byte_order_mark_is_no_problem() -> None:
    """Editors on Windows write one."""
    assert "web" in read("\ufeff" + REST.lstrip()).workloads


@pytest.mark.parametrize(
    "start", ["*", "!", "&", "!x!", "%", "@", "`", '"', "'", "[", "{", "|x", ">x"]
)
def test_no_message_quotes_a_secret_that_yaml_trips_over(start: str) -> None:
    """Random secrets start with any character; unquoted, some are YAML's own. They stay secret."""
    text = f"admin:\n  token: {start}canary0secret0canary\n{REST}"
    with pytest.raises(ConfigurationError) as caught:
        read(f"unknown: here\n{text}")
    told = "".join(format_exception(caught.value))
    assert "canary" not in told.replace(text, "")


def test_listen_alone_is_not_a_duration() -> None:
    """A plain value of the wrong kind gets the message of its own key."""
    assert good("listen", "[::1]:80").listen == ("::1", 80)
