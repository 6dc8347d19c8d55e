"""Files to deliver, and whether they arrived."""
import hashlib
import random
from dataclasses import dataclass
from pathlib import Path

BLOCK = 1 << 20
MEBIBYTE = 1 << 20


@dataclass(frozen=True)
class Content:
    """A file that does not compress, the same one for every run."""
    path: Path
    size: int
    sha256: str

    @property
    def name(self):
        """Its last path component."""
        return self.path.name


def make(folder: Path, size: int, name="film.mkv") -> Content:
    """Writes the file."""
    folder.mkdir(parents=True, exist_ok=True)
    source, digest, path = random.Random(size), hashlib.sha256(), folder / name
    with open(path, "wb") as out:
        for at in range(0, size, BLOCK):
            block = source.randbytes(min(BLOCK, size - at))
            digest.update(block)
            out.write(block)
    return Content(path, size, digest.hexdigest())


def sha256(path: Path) -> str:
    """The digest of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
