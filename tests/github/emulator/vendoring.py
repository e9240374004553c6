"""What lies here of npm's package `emulate`: cut out of its archive once, laid out again for each test.

npm pack emulate@0.12.2
python -m tests.github.emulator.vendoring emulate-0.12.2.tgz
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import sys
import tarfile
from pathlib import Path

#: The `dist.integrity` of emulate 0.12.2 in npm's registry.
INTEGRITY = "sha512-cHz1ITT3xm3HJM6qSks7+ME5Bw/W7zp7ky2Ve4M4ANls46EfeAy0m/nWOjTLJEgLEQcA9gW+L3cWjuUcklJxtQ=="
VENDORED = Path(__file__).parents[1] / "vendored" / "emulate.tar.gz"

#: Its GitHub, with what that imports and with the licences.
KEPT = (
    "LICENSE",
    "THIRD_PARTY_NOTICES.md",
    "package.json",
    "dist/api.js",
    "dist/chunk-PZ5AY32C.js",
    "dist/chunk-U6ISZSHV.js",
    "dist/dist-DWLNEG6M.js",
)
#: Fonts and an icon of its pages, which it opens when it starts and nobody here looks at.
EMPTY = ("dist/fonts/geist-sans.woff2", "dist/fonts/GeistPixel-Square.woff2", "dist/fonts/favicon.ico")


def cut(package: bytes) -> bytes:
    """What is kept of the archive that npm gives, unchanged."""
    found = "sha512-" + base64.b64encode(hashlib.sha512(package).digest()).decode()
    if found != INTEGRITY:
        raise SystemExit(f"This is not emulate 0.12.2: its integrity is {found}.")
    packed = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(package)) as whole, tarfile.open(fileobj=packed, mode="w") as kept:
        for name in KEPT:
            member = whole.extractfile(f"package/{name}")
            assert member is not None, name
            _add(kept, name, member.read())
    return gzip.compress(packed.getvalue(), 9, mtime=0)


def lay_out(directory: Path) -> None:
    with tarfile.open(VENDORED) as kept:
        kept.extractall(directory, filter="data")
    for name in EMPTY:
        (directory / name).parent.mkdir(exist_ok=True)
        (directory / name).touch()


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    archive.addfile(entry, io.BytesIO(content))


if __name__ == "__main__":
    VENDORED.write_bytes(cut(Path(sys.argv[1]).read_bytes()))
    print(f"{VENDORED.name}: {len(KEPT)} files, {VENDORED.stat().st_size} bytes")
