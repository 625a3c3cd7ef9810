"""The key that signs receipts, where the configuration gives one."""

from pathlib import Path

import pytest

from tests.config.faults import faults_of, good, read, with_changes
from tests.receipts import KEY


def test_the_key_of_receipts_may_be_given(tmp_path: Path) -> None:
    """In a file or in place; without the section the launcher makes its own."""
    (tmp_path / "receipts.key").write_bytes(KEY.pem)
    for given in ({"key_file": "receipts.key"}, {"key": KEY.pem.decode()}):
        key = good("receipts", given, tmp_path / "config.yml").receipts
        assert key is not None
        assert key.public.id == KEY.public.id
    assert read(with_changes({})).receipts is None


@pytest.mark.parametrize(
    ("given", "path", "words"),
    [
        ({}, "receipts", "needs key_file"),
        ({"key": "canary"}, "receipts.key", "is not a private key in PEM; make one with"),
        ({"key": KEY.public.pem.decode()}, "receipts.key", "is not a private key"),
        ({"key_file": "missing"}, "receipts.key_file", "cannot read"),
        ({"keyfile": "x"}, "receipts.keyfile", "did you mean 'key_file'"),
    ],
)
def test_a_key_that_cannot_sign_is_found_by_check(
    given: dict[str, str], path: str, words: str
) -> None:
    """Not when the first deployment ends; and it is not quoted."""
    found = faults_of("receipts", given)
    assert words in found[path]
    assert "canary" not in str(found)
