"""JSON as a security boundary reads it: one value, no duplicate keys, no NaN, bounded depth.

`json.loads` keeps the last of two equal keys, so a checker and a user of a document may see
different values (the class of CVE-2021-41190); it also accepts NaN, which RFC 8259 forbids, turns
1e999 into infinity, and makes strings of lone surrogates, which no file or database can store.
"""

import json
import math
import re
from typing import Any, NoReturn

MAX_DEPTH = 32
# An unterminated string runs to the end, a lone last backslash included, so that no quote is
# scanned twice (linear time). Runs before and after an escape, not one character at a time: this
# is half the cost of reading a delivery otherwise.
_STRINGS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


class StrictJsonError(ValueError):
    """The bytes are not one strict JSON value; the text says why, without quoting the value."""


def loads(body: bytes) -> Any:
    """Parse UTF-8 JSON bytes. Raises StrictJsonError, and nothing else, for bad input."""
    if _depth(body) > MAX_DEPTH:
        raise StrictJsonError(f"nested deeper than {MAX_DEPTH} levels")
    try:
        value = _DECODER.decode(body.decode("utf-8"))
        if _SURROGATE.search(body):
            json.dumps(value, ensure_ascii=False).encode("utf-8")
        return value
    except UnicodeDecodeError as error:
        raise StrictJsonError("not UTF-8") from error
    except UnicodeEncodeError as error:
        raise StrictJsonError("half of a surrogate pair in a string") from error
    except RecursionError as error:
        raise StrictJsonError("nested too deep") from error
    except StrictJsonError:
        raise
    except ValueError as error:  # JSONDecodeError, and int() on too many digits
        reason = getattr(error, "msg", "a number is too long")
        raise StrictJsonError(f"not JSON: {reason}") from error


def _depth(body: bytes) -> int:
    """Deepest nesting of brackets outside strings, found before the recursive parser runs.

    At most the number of opening brackets, which is told instead when that is no problem.
    """
    opening = body.count(b"[") + body.count(b"{")
    if opening <= MAX_DEPTH:
        return opening
    deepest = depth = 0
    for byte in _STRINGS.sub(b"", body).translate(None, _NOT_BRACKETS):
        if byte in b"[{":
            depth += 1
            deepest = max(deepest, depth)
            if deepest > MAX_DEPTH:
                break
        elif byte in b"]}":
            depth -= 1
    return deepest


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise StrictJsonError("a key appears twice in one object")
    return found


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise StrictJsonError("a number is too large")
    return number


def _no_constant(name: str) -> NoReturn:
    raise StrictJsonError(f"{name} is not JSON")


# Made once: making it is a tenth of the cost of reading a delivery.
_DECODER = json.JSONDecoder(
    object_pairs_hook=_unique, parse_constant=_no_constant, parse_float=_finite
)
