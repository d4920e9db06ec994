"""Zips that mmfer writes, as they are opened where they may come from anyone."""

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def stored_zip(file: Path) -> Iterator[zipfile.ZipFile]:
    """A zip whose parts are stored as they are, each once; BadZipFile where to read them takes more memory than it."""
    if not file.is_file():  # a pipe or device may never end
        raise zipfile.BadZipFile("no file")
    with zipfile.ZipFile(file) as archive:
        if len(set(archive.namelist())) < len(archive.namelist()):  # of which Python gives the last one unsaid
            raise zipfile.BadZipFile("it has two parts of one name")
        for part in archive.infolist():
            if part.compress_type != zipfile.ZIP_STORED:
                raise zipfile.BadZipFile(f"{part.filename} is not stored as it is")
        if sum(part.file_size for part in archive.infolist()) > file.stat().st_size:
            raise zipfile.BadZipFile("its parts are longer than the file")
        yield archive
