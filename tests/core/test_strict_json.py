import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook_launcher.core.strict_json import MAX_DEPTH, StrictJsonError, loads

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20
)


@given(VALUES)
def test_json_is_read_as_json(value: Any) -> None:
    """Strictness must refuse nothing that a correct sender writes."""
    assert loads(json.dumps(value).encode()) == value
    assert loads(json.dumps(value, ensure_ascii=False, indent=1).encode()) == value


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "not JSON"),
        (b"{} {}", "not JSON"),
        (b"{}}", "not JSON"),
        (b'{"a": 1', "not JSON"),
        (b"[1,]", "not JSON"),
        (b"\xef\xbb\xbf{}", "not JSON"),
        (b'{"a": "\x01"}', "not JSON"),
        (b'{"a": 1, "a": 2}', "twice"),
        (b'{"a": 1, "\\u0061": 2}', "twice"),
        (b'{"a": {"b": 1, "b": 1}}', "twice"),
        (b"NaN", "NaN"),
        (b"[Infinity]", "Infinity"),
        (b"[-Infinity]", "Infinity"),
        (b"[1e999]", "too large"),
        (b"[-1e999]", "too large"),
        (b"9" * 5000, "number"),
        (b'["\\ud800"]', "surrogate"),
        (b'{"\\uDFFF": 1}', "surrogate"),
        (b'"\xff"', "UTF-8"),
        ('"ä"'.encode("latin-1"), "UTF-8"),
        ('{"a": 1}'.encode("utf-16"), "UTF-8"),
        (b"[" * 33 + b"]" * 33, "deeper"),
        (b"[" * 500_000, "deeper"),
        (b'{"a":' * 40 + b"1" + b"}" * 40, "deeper"),
    ],
)
def test_what_two_readers_may_read_differently_is_refused(body: bytes, reason: str) -> None:
    """Whatever one parser takes for A and another for B lets a checker approve what B then does."""
    with pytest.raises(StrictJsonError, match=reason):
        loads(body)


def test_brackets_in_strings_are_no_depth() -> None:
    """Descriptions and embedded Dockerfiles are full of them."""
    text = "[{" * 100 + '\\"' + "[" * 100
    assert loads(json.dumps({"a": text}).encode()) == {"a": text}
    assert loads(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)


def test_a_surrogate_pair_is_a_character() -> None:
    """That is how JSON writes emoji in ASCII."""
    assert loads(b'["\\ud83d\\ude80", "\\\\ud800"]') == ["🚀", "\\ud800"]


@pytest.mark.parametrize(
    "body",
    [
        b'"' + b'\\"' * 500_000,
        b'"' + b'\\"' * 500_000 + b"\\",
        b'"\\' * 500_000,
        b'"' * 1_000_001,
        b"[" * 1_000_000,
        b"[]," * 300_000,
        b'{"a":1,' * 140_000,
        b"1" * 1_000_000,
        b"1." + b"1" * 1_000_000 + b"!",
        b"\\ud800" * 150_000,
    ],
    ids=lambda body: repr(body[:8]),
)
def test_refusing_a_megabyte_takes_time_in_proportion(body: bytes) -> None:
    """A delivery is answered within a second; a pattern that scans quotes twice takes hours."""
    start = time.thread_time()
    with pytest.raises(StrictJsonError):
        loads(body)
    assert time.thread_time() - start < 2


@given(st.binary() | st.text(alphabet='[]{}",:\\ud8 019.eE+-nulNaI', max_size=200).map(str.encode))
def test_any_bytes_are_a_value_or_a_strict_json_error(body: bytes) -> None:
    """The callers catch this one error; a value can be stored as UTF-8."""
    try:
        value = loads(body)
    except StrictJsonError:
        return
    json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
