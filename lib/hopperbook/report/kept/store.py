"""A store of plain JSON under names that are digests: each entry is checked when it is read, none is ever executed."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
import zlib
from pathlib import Path
from typing import Any

from hopperbook import facts, reads

#: The most that the store takes; the entries used longest ago go first.
MOST_BYTES = 1 << 30
ROOT = facts.DATA.parent / ".build" / "store"


def digest(value: Any) -> str:
    """Return the digest of a plain value: the same for the same content, whatever its order of keys.

    Parameters
    ----------
    value : object
        Anything that JSON can say.

    Returns
    -------
    str
        64 hexadecimal digits.

    Examples
    --------
    >>> digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    True
    """
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=True).encode()).hexdigest()


def digest_file(path: Path) -> str:
    """Return the digest of a file's content; empty where there is no such file.

    Parameters
    ----------
    path : Path
        A file.

    Returns
    -------
    str
        64 hexadecimal digits, or nothing.

    Examples
    --------
    >>> digest_file(Path("nowhere"))
    ''
    """
    try:
        with reads.unnoted():
            return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""


class Store:
    """Entries of JSON in a folder that may be deleted at any time.

    Parameters
    ----------
    folder : Path, optional
        Where; ``.build/store`` of the book.

    Examples
    --------
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     kept = Store(Path(folder))
    ...     kept.put("answers", digest("question"), {"answer": 42})
    ...     kept.get("answers", digest("question")), kept.get("answers", digest("other"))
    ({'answer': 42}, None)
    """

    def __init__(self, folder: Path | None = None):
        self.folder = folder or ROOT

    def _path(self, kind: str, key: str) -> Path:
        return self.folder / kind / key[:2] / key

    def get(self, kind: str, key: str) -> Any:
        """Return an entry, or None: where there is none, or it is not what was put there, in which case it goes."""
        path = self._path(kind, key)
        try:
            seal, _, content = path.read_bytes().partition(b"\n")
            if seal.decode("ascii", "replace") == _seal(kind, key, content):
                os.utime(path)
                return json.loads(zlib.decompress(content))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, RecursionError, zlib.error):
            pass
        with contextlib.suppress(OSError):
            path.unlink()
        return None

    def put(self, kind: str, key: str, value: Any) -> None:
        """Keep an entry; where nothing can be written, go on without."""
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
        content = zlib.compress(text, 1)
        path = self._path(kind, key)
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".part-", delete=False) as part:
                try:
                    part.write(_seal(kind, key, content).encode() + b"\n" + content)
                    part.close()
                    os.replace(part.name, path)
                except BaseException:
                    os.unlink(part.name)
                    raise

    def keys(self, kind: str) -> list[str]:
        """Return the keys of a kind of entries."""
        return sorted(path.name for path in (self.folder / kind).glob("??/*") if not path.name.startswith("."))

    def prune(self, most_bytes: int = MOST_BYTES) -> int:
        """Drop the entries used longest ago until the rest takes at most so much; return the bytes dropped."""
        found = []
        for place, _, names in os.walk(self.folder):  # passes over what another process removes meanwhile
            for path in (Path(place, name) for name in names if "." not in name):  # simulations look after themselves
                with contextlib.suppress(OSError):
                    state = path.stat()
                    found.append((state.st_mtime_ns, state.st_size, path))
        over = sum(size for _, size, _ in found) - most_bytes
        dropped = 0
        for _, size, path in sorted(found):
            if dropped >= over:
                break
            with contextlib.suppress(OSError):
                path.unlink()
                dropped += size
        return dropped

    def clear(self) -> None:
        """Drop everything."""
        shutil.rmtree(self.folder, ignore_errors=True)


def _seal(kind: str, key: str, content: bytes) -> str:
    """Return what stands before an entry: it holds only for this content under this name."""
    return hashlib.sha256(f"{kind}/{key}\n".encode() + content).hexdigest()
