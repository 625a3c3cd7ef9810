"""The chain over HTTP: the bytes that were signed, and the head to compare with."""

import pytest

from tests.builders import D1, D2, Edge, admin, told
from webhook_launcher.core.receipts import Head, verify


def test_what_is_answered_is_a_chain_that_verifies(edge: Edge) -> None:
    """Line by line the kept bytes: an answer that re-wrote them would break every hash."""
    for digest in (D1, D2, D1):
        edge.deployed("web", digest)
    answer = edge.http.get("/api/v1/receipts", headers=admin())
    assert (answer.status_code, answer.mimetype) == (200, "application/x-ndjson")
    lines = answer.get_data().removesuffix(b"\n").split(b"\n")
    assert lines == edge.journal.receipts.after(0, 9)
    assert verify(lines, [edge.journal.receipts.key]).head == Head.of(3, lines[2])


def test_an_export_is_continued_after_what_one_has(edge: Edge) -> None:
    """A witness asks for what is new; nothing new is an empty answer."""
    for _ in range(4):
        edge.deployed("web", D1)
    everything = edge.http.get("/api/v1/receipts", headers=admin()).get_data()
    pages = [
        edge.http.get(f"/api/v1/receipts?after={after}&limit=2", headers=admin()).get_data()
        for after in (0, 2, 4)
    ]
    assert b"".join(pages) == everything
    assert pages[2] == b""


def test_the_head_names_the_newest_receipt_and_the_key(edge: Edge) -> None:
    """What a chain that was cut off is compared with."""
    empty = told(edge.http.get("/api/v1/receipts/head", headers=admin()))
    key = edge.journal.receipts.key.id
    assert empty == {"sequence": 0, "sha256": None, "key": key}
    edge.deployed("web", D1)
    (envelope,) = edge.journal.receipts.after(0, 9)
    sha256 = Head.of(1, envelope).sha256
    found = told(edge.http.get("/api/v1/receipts/head", headers=admin()))
    assert found == {"sequence": 1, "sha256": sha256, "key": key}


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=501", "limit=x", "after=-1", "after=1.5", "after=9999999999999999", "x=1"],
)
def test_what_makes_no_page_is_refused(edge: Edge, query: str) -> None:
    """A parameter that is misread would leave a gap in somebody's copy."""
    answer = edge.http.get(f"/api/v1/receipts?{query}", headers=admin())
    assert (answer.status_code, answer.mimetype) == (400, "application/problem+json")
