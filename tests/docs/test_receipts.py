"""docs/receipts.md against the code and common tools: what it shows is what happens."""

import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.docs.test_documentation import blocks, read, section, words_in_code
from tests.fakes import image_of
from tests.receipts import ENDED, KEY, STABLE, B, chain_of
from webhook_launcher.core.dsse import claimed
from webhook_launcher.core.receipts import PREDICATE_TYPE, Head, receipt

TEXT = read("docs/receipts.md")


def run(script: str, directory: Path) -> str:
    """What a block of the document prints; it must not fail anywhere."""
    done = subprocess.run(
        ["sh", "-euc", script], cwd=directory, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    """A directory with an export and the public key, as the document makes them."""
    lines = b"".join(envelope + b"\n" for envelope in chain_of(4))
    (tmp_path / "receipts.jsonl").write_bytes(lines)
    (tmp_path / "receipts.pub").write_bytes(KEY.public.pem)
    return tmp_path


def test_a_receipt_is_verified_with_openssl_as_written(exported: Path) -> None:
    """Whoever doubts the launcher's own command can do without it."""
    (script,) = blocks(section(TEXT, "## Verify one with other tools"), "sh")[:1]
    assert "Verified Successfully" in run(script, exported)
    statement = json.loads((exported / "statement.json").read_bytes())
    assert statement["predicate"]["sequence"] == 3
    line = chain_of(4)[2]
    assert run("sha256sum receipt.json", exported).split()[0] == Head.of(3, line).sha256
    changed = (exported / "receipts.jsonl").read_bytes().splitlines()
    changed[2] = changed[3]
    (exported / "receipts.jsonl").write_bytes(b"\n".join(changed))
    assert "Verified Successfully" in run(script, exported)  # one receipt says nothing of a chain
    broken = script.replace("> signed\n", "> signed\nprintf x >> signed\n")
    with pytest.raises(AssertionError):
        run(broken, exported)


def test_the_keys_id_is_computed_as_written(exported: Path) -> None:
    """It is compared by eye."""
    (script,) = blocks(section(TEXT, "## The key"), "sh")
    assert run(script, exported).split()[0] == KEY.public.id


def keys(value: Any) -> Iterator[str]:
    """Every key in a document."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from keys(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from keys(inner)


def test_the_example_and_the_table_have_every_field() -> None:
    """A receipt is read by people and programs that know only this page."""
    everything = replace(
        ENDED,
        code="unhealthy",
        detail="why",
        undoes="d0",
        previous=image_of(STABLE, B),
        origin=replace(ENDED.origin, overrides=frozenset({"minimum_age"})),
    )
    first = receipt(everything, None, KEY)
    statement = json.loads(claimed(receipt(everything, Head.of(1, first), KEY)))
    (example,) = blocks(section(TEXT, "## What is in one"), "json")
    assert json.loads(example)["predicateType"] == PREDICATE_TYPE
    written = set(keys(json.loads(example)))
    table = set(re.findall(r"\w+", " ".join(words_in_code(section(TEXT, "## What is in one")))))
    assert written <= set(keys(statement))
    assert set(keys(statement)) - written <= table
