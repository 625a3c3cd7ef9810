"""The key of the receipts: made once, kept for good, and no start with a broken one."""

import logging
import os
import stat
from pathlib import Path

import pytest

from tests.receipts import KEY, OTHER_KEY
from webhook_launcher.adapters.journal import Journal
from webhook_launcher.adapters.journal.receipt_key import check_keys, public_keys, signing_key
from webhook_launcher.core.errors import SigningKeyError


def mode(path: Path) -> int:
    """Its permission bits."""
    return stat.S_IMODE(path.stat().st_mode)


class TestOwnKey:
    def test_it_is_made_at_the_first_start_and_used_at_the_next(self, tmp_path: Path) -> None:
        """A second key would break off what the first one signed."""
        first = signing_key(tmp_path, None)
        assert signing_key(tmp_path, None).public.id == first.public.id
        assert sorted(path.name for path in tmp_path.iterdir()) == ["receipts.key", "receipts.pub"]
        assert (tmp_path / "receipts.pub").read_bytes() == first.public.pem

    def test_only_its_owner_may_read_it_whatever_the_umask(self, tmp_path: Path) -> None:
        """Whoever reads it can sign another history."""
        before = os.umask(0)
        try:
            signing_key(tmp_path, None)
        finally:
            os.umask(before)
        assert mode(tmp_path / "receipts.key") == 0o600
        assert mode(tmp_path / "receipts.pub") == 0o644

    @pytest.mark.parametrize("content", [b"", b"garbage", KEY.public.pem])
    def test_a_broken_one_ends_the_start_and_is_not_replaced(
        self, tmp_path: Path, content: bytes
    ) -> None:
        """The one that signed may be in a backup; a new one is the operator's decision."""
        (tmp_path / "receipts.key").write_bytes(content)
        with pytest.raises(SigningKeyError, match=r"receipts\.key is not a private key") as caught:
            Journal(tmp_path, {})
        assert "move it aside" in caught.value.advice()
        with pytest.raises(SigningKeyError, match=r"receipts\.key is not a private key"):
            check_keys(tmp_path, None)
        check_keys(tmp_path, KEY)  # with a given one it is not looked at
        assert (tmp_path / "receipts.key").read_bytes() == content
        (tmp_path / "receipts.key").unlink()
        Journal(tmp_path, {}).close()  # and the lock was given free

    def test_one_that_cannot_be_read_or_made_says_why(self, tmp_path: Path) -> None:
        """With the directory, and without a traceback."""
        (tmp_path / "receipts.key").mkdir()
        for use in (signing_key, check_keys):
            with pytest.raises(SigningKeyError, match="Is a directory"):
                use(tmp_path, None)
        with pytest.raises(SigningKeyError, match="No such file or directory"):
            signing_key(tmp_path / "gone", None)

    def test_what_a_crash_left_while_it_was_made_is_not_taken_for_a_key(
        self, tmp_path: Path
    ) -> None:
        """It has its name only when it is whole and on the disk."""
        (tmp_path / "receipts.key.abc").write_bytes(KEY.pem[:30])
        key = signing_key(tmp_path, None)
        assert signing_key(tmp_path, None).public.id == key.public.id


class TestAnotherKey:
    def test_the_public_half_of_the_former_one_is_kept(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Without it nobody could verify what it signed; and the change is told."""
        signing_key(tmp_path, KEY)
        with caplog.at_level(logging.WARNING):
            signing_key(tmp_path, OTHER_KEY)
            signing_key(tmp_path, OTHER_KEY)
        assert [record.message for record in caplog.records] == ["receipts have another key"]
        ids = [key.id for key in public_keys(tmp_path)]
        assert ids == [OTHER_KEY.public.id, KEY.public.id]

    def test_going_back_to_a_former_one_keeps_both(self, tmp_path: Path) -> None:
        """Whichever way it goes, no public half is lost."""
        for key in (KEY, OTHER_KEY, KEY):
            signing_key(tmp_path, key)
        assert {key.id for key in public_keys(tmp_path)} == {KEY.public.id, OTHER_KEY.public.id}
        assert (tmp_path / "receipts.pub").read_bytes() == KEY.public.pem

    def test_a_public_half_that_is_none_is_not_overwritten(self, tmp_path: Path) -> None:
        """It may be what is left of a former key's."""
        (tmp_path / "receipts.pub").write_bytes(b"garbage")
        for use in (signing_key, check_keys, lambda state, _: list(public_keys(state))):
            with pytest.raises(SigningKeyError, match=r"receipts\.pub is not a public key") as got:
                use(tmp_path, None)
            assert "Move it aside" in got.value.advice()


def test_a_directory_without_keys_has_none_and_a_check_makes_none(tmp_path: Path) -> None:
    """No launcher has run there; `doctor` changes nothing."""
    check_keys(tmp_path, None)
    check_keys(tmp_path / "to be made", None)
    assert list(tmp_path.iterdir()) == []
    assert list(public_keys(tmp_path)) == []
