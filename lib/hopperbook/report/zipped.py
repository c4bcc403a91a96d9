"""A report as one file to send: a zip whose pages open from the file system once it is unpacked."""

from __future__ import annotations

import zipfile
from pathlib import Path

from hopperbook.errors import InputError
from hopperbook.report import manifest

#: The time that stands in every entry: the first that a zip can hold, so that one report gives one file.
TIME = (1980, 1, 1, 0, 0, 0)
MODE = 0o644


def write(site: Path, out: Path) -> Path:
    """Pack a report: every file of it, shared ones included, in one folder, in order and without clock.

    Parameters
    ----------
    site : Path
        A built report.
    out : Path
        The file to write.

    Returns
    -------
    Path
        ``out``; the same report gives the same bytes on one machine.

    Raises
    ------
    InputError
        If the folder holds no report, or ``out`` cannot be written.
    """
    manifest.read(site)
    if not out.absolute().parent.is_dir():
        raise InputError("out", str(out), "a file in a folder that exists")
    if out.resolve().is_relative_to(site.resolve()):
        raise InputError("out", str(out), "a file outside the report")
    part = out.with_name(f".{out.name}.part")
    try:
        with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as packed:
            for path in sorted(each for each in site.rglob("*") if each.is_file()):
                name = f"{site.resolve().name}/{path.relative_to(site).as_posix()}"
                entry = zipfile.ZipInfo(name, TIME)
                entry.external_attr, entry.compress_type = MODE << 16, zipfile.ZIP_DEFLATED
                packed.writestr(entry, path.read_bytes())
        part.replace(out)
    finally:
        part.unlink(missing_ok=True)
    return out
