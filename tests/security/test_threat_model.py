"""`docs/threat-model.md` against these tests: every line is tried, and nothing else is."""

import ast
import re
from collections import defaultdict
from pathlib import Path

from tests.docs.test_documentation import read, rows

HERE = Path(__file__).parent
_ID = re.compile(r"[A-Z]{1,2}[0-9]{1,2}")
NOTHING = "nothing stops it"


def lines() -> dict[str, str]:
    """Every line of the document by its id."""
    found: dict[str, str] = {}
    for row in rows(read("docs/threat-model.md")):
        if _ID.fullmatch(row[0]):
            assert row[0] not in found, f"{row[0]} stands there twice"
            assert len(row) == 4
            found[row[0]] = " ".join(row)
    return found


def attacks() -> dict[str, set[str]]:
    """Names of the tests by the id with which their docstring begins."""
    found = defaultdict(set)
    for path in HERE.glob("test_*.py"):
        if path == Path(__file__):
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                identity, colon, _ = (ast.get_docstring(node) or "").partition(": ")
                assert colon, f"{path.name}: {node.name} does not say which line it tries"
                assert _ID.fullmatch(identity), f"{path.name}: {node.name}"
                found[identity].add(node.name)
    return found


def test_every_line_is_tried_and_every_attack_is_a_line() -> None:
    """A threat that nobody tries is a claim; an attack that stands nowhere helps no user."""
    assert lines().keys() == attacks().keys()


def test_what_nothing_stops_is_shown_to_succeed() -> None:
    """And only that: on the day on which something stops it, the document must change."""
    said = {identity for identity, text in lines().items() if NOTHING in text}
    shown = {
        identity
        for identity, names in attacks().items()
        if any(name.startswith("test_nothing_stops_") for name in names)
    }
    assert said == shown
