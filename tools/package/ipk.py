"""opkg's package format: a gzipped tar of debian-binary, data.tar.gz and control.tar.gz (OpenWrt's ipkg-build)."""

import gzip
import io
import tarfile
from typing import TYPE_CHECKING

import recipe
import script
import tree

if TYPE_CHECKING:
    from collections.abc import Iterable

    Member = tuple[str, int, bytes | None]  # path, mode, data; a folder has none


def file_name(package: recipe.Package) -> str:
    return "%s_%s-r%s_all.ipk" % (package.name, package.version, package.release)


def pack(package: recipe.Package, entries: "list[tree.Entry]", epoch: int) -> bytes:
    """The bytes of the package, the same for the same files and time."""
    folders: list[Member] = [(name, 0o755, None) for name in tree.folders(entries)]
    data = _tar([*folders, *entries], epoch)
    control = [("/control", 0o644, _control(package, len(data), epoch).encode())]
    control.append(("/conffiles", 0o644, "".join(path + "\n" for path in package.conffiles).encode()))
    control += [("/" + name, 0o755, text.encode()) for name, text in script.for_opkg(package).items()]
    members = [
        ("/debian-binary", 0o644, b"2.0\n"),
        ("/data.tar.gz", 0o644, _gzip(data)),
        ("/control.tar.gz", 0o644, _gzip(_tar(sorted(control), epoch))),
    ]
    return _gzip(_tar(members, epoch))


def _control(package: recipe.Package, installed_size: int, epoch: int) -> str:
    fields = [
        ("Package", package.name),
        ("Version", "%s-r%s" % (package.version, package.release)),
        ("Depends", ", ".join(package.depends)),
        ("Conflicts", ", ".join(package.conflicts)),
        ("Provides", ", ".join(package.provides)),
        ("Replaces", ", ".join(package.replaces)),
        ("License", package.license),
        ("LicenseFiles", package.license_files),
        ("Section", package.section),
        ("SourceDateEpoch", str(epoch)),
        ("Maintainer", package.maintainer),
        ("Architecture", "all"),
        ("Installed-Size", str(installed_size)),
        ("Description", package.description.replace("\n", "\n ")),
    ]
    return "".join("%s: %s\n" % field for field in fields if field[1])


def _tar(members: "Iterable[Member]", epoch: int) -> bytes:
    """Files and, where the data is None, folders; root's, without names of users that the builder has."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for path, mode, data in members:
            info = tarfile.TarInfo("." + path)
            info.mode, info.mtime = mode, epoch
            info.type = tarfile.DIRTYPE if data is None else tarfile.REGTYPE
            info.size = len(data or b"")
            tar.addfile(info, io.BytesIO(data or b""))
    return buffer.getvalue()


def _gzip(data: bytes) -> bytes:
    buffer = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", fileobj=buffer, mtime=0) as file:
        file.write(data)
    return buffer.getvalue()
