"""A receipt is verified by cosign, with the command that docs/receipts.md gives."""

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.cosign import program
from tests.docs.test_documentation import blocks, read, section
from tests.receipts import KEY, OTHER_KEY, A, chain_of
from webhook_launcher.core.dsse import PublicKey

pytestmark = pytest.mark.engine
COMMAND = blocks(section(read("docs/receipts.md"), "## Verify one with other tools"), "sh")[1]


def verified(
    major: int, directory: Path, *, key: PublicKey = KEY.public, digest: str = A, script: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run the document's command, as it is written for this version of cosign."""
    (directory / "receipts.pub").write_bytes(key.pem)
    script = (script or COMMAND).replace("cosign ", f"{program(major)} ", 1)
    if major == 2:
        script = script.replace('--digest "$DIGEST" --digestAlg sha256', "--check-claims=false")
    return subprocess.run(
        ["sh", "-euc", script],
        cwd=directory,
        env={"PATH": os.environ["PATH"], "HOME": str(directory), "DIGEST": digest[7:]},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def exported(machine: Mapping[str, str], tmp_path: Path) -> Path:
    """A directory with one receipt."""
    (tmp_path / "receipt.json").write_bytes(chain_of(2)[1])
    return tmp_path


@pytest.mark.parametrize("major", [2, 3])
class TestCosign:
    def test_a_receipt_is_an_attestation_of_the_image(self, exported: Path, major: int) -> None:
        """The tool that publishers use reads it, and compares the digest."""
        done = verified(major, exported)
        assert done.returncode == 0, done.stderr
        assert "Verified OK" in done.stderr

    def test_what_the_key_did_not_sign_is_refused(self, exported: Path, major: int) -> None:
        """The same command, so that the success above means something."""
        assert verified(major, exported, key=OTHER_KEY.public).returncode != 0
        envelope = json.loads((exported / "receipt.json").read_bytes())
        envelope["payload"] = json.loads(chain_of(1)[0])["payload"]
        (exported / "receipt.json").write_text(json.dumps(envelope))
        assert verified(major, exported).returncode != 0

    def test_another_type_or_digest_is_refused(self, exported: Path, major: int) -> None:
        """A receipt is no signature of a publisher, and of one image only."""
        other = COMMAND.replace("receipt:v1", "receipt:v2")
        done = verified(major, exported, script=other)
        assert "invalid predicate type" in done.stderr
        if major == 3:
            assert verified(major, exported, digest="sha256:" + "0" * 64).returncode != 0
