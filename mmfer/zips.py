"""Zips that mmfer writes, as they are opened where they may come from anyone."""

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def stored_zip(file: Path) -> Iterator[zipfile.ZipFile]:
    """A zip whose parts are stored as they are; BadZipFile where to read each takes more memory than the file."""
    with zipfile.ZipFile(file) as archive:
        for part in archive.infolist():
            if part.compress_type != zipfile.ZIP_STORED:
                raise zipfile.BadZipFile(f"{part.filename} is not stored as it is")
        if sum(part.file_size for part in archive.infolist()) > file.stat().st_size:
            raise zipfile.BadZipFile("its parts are longer than the file")
        yield archive
