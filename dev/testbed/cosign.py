"""cosign itself, offline, as a publisher runs it."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from testbed import programs
from testbed.errors import MachineError
from webhook_launcher.core.image_key import ImageKey, read_image_key

# Neither a log nor a service is asked: docs/configuration.md gives the same flags.
OFFLINE = {
    2: ("--tlog-upload=false",),
    3: ("--use-signing-config=false", "--tlog-upload=false"),
}


def program(major: int) -> Path:
    """Return cosign 2 or 3."""
    found = programs.cosign(major)
    if found is None:
        raise MachineError(
            f"no cosign {major}: neither on PATH nor in the distribution's packages",
            "put it on PATH, then repeat",
        )
    return found


@dataclass(frozen=True)
class Publisher:
    """A key pair `<id>.key` and `<id>.pub` in a directory, and the cosign that uses it."""

    directory: Path
    id: str = "release"
    major: int = 3

    def generate(self) -> "Publisher":
        """A new pair, as the documentation makes it."""
        self._run("generate-key-pair", "--output-key-prefix", self.id)
        return self

    def import_key(self, pem: bytes) -> "Publisher":
        """A pair from a private key in PEM (PKCS #8)."""
        path = self.directory / f"{self.id}.pem"
        path.write_bytes(pem)
        self._run("import-key-pair", "--key", str(path), "--output-key-prefix", self.id)
        return self

    @property
    def key(self) -> ImageKey:
        """The public half, as the launcher reads it."""
        return read_image_key(self.id, (self.directory / f"{self.id}.pub").read_bytes())

    def sign(self, image: str, *options: str) -> None:
        """Sign a pinned reference."""
        self._run("sign", *self._key_options(), *options, image)

    def attest(self, image: str, predicate: str) -> None:
        """Attest something to a pinned reference."""
        path = self.directory / "predicate.json"
        path.write_text(predicate)
        self._run("attest", *self._key_options(), "--predicate", str(path), image)

    def _key_options(self) -> tuple[str, ...]:
        return ("--key", f"{self.id}.key", "--yes", *OFFLINE[self.major])

    def _run(self, *arguments: str) -> None:
        done = subprocess.run(
            [str(program(self.major)), *arguments],
            cwd=self.directory,
            env={"HOME": str(self.directory), "COSIGN_PASSWORD": "", "PATH": os.environ["PATH"]},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"cosign {arguments[0]}: {done.stderr.strip()[-500:]}")
