"""References, digests and strict JSON, on bytes that atheris thinks up.

What must hold: one error type each, and what is accepted is the same when it is read again.
"""

import json
import sys

import atheris  # type: ignore[import-untyped, import-not-found, unused-ignore]

with atheris.instrument_imports(include=["webhook_launcher"]):
    from webhook_launcher.core import strict_json
    from webhook_launcher.core.errors import InvalidReferenceError
    from webhook_launcher.core.reference import Digest, parse_reference, parse_registry


def one_input(raw: bytes) -> None:
    """The bytes are each of them in turn."""
    _json(raw)
    text = raw.decode("utf-8", "surrogateescape")
    _reference(text)
    for parse in (Digest, parse_registry):
        try:
            again = parse(text)
        except InvalidReferenceError:
            continue
        assert parse(again) == again  # noqa: S101 - what a harness is for


def _reference(text: str) -> None:
    try:
        reference = parse_reference(text)
    except InvalidReferenceError:
        return
    shown = str(reference)
    assert shown.isascii()  # noqa: S101
    assert parse_reference(shown) == reference  # noqa: S101


def _json(raw: bytes) -> None:
    try:
        value = strict_json.loads(raw)
    except strict_json.StrictJsonError:
        return
    # Stricter than the standard library, and never of another opinion.
    assert value == json.loads(raw)  # noqa: S101
    assert strict_json.loads(json.dumps(value, ensure_ascii=False).encode()) == value  # noqa: S101


def main() -> None:
    """`values.py CORPUS -max_total_time=60 …`: libFuzzer's own options."""
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
