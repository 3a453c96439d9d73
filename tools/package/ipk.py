"""opkg's package format: a gzipped tar of debian-binary, data.tar.gz and control.tar.gz (OpenWrt's ipkg-build)."""

import gzip
import io
import tarfile

import script
import tree


def file_name(package):
    return "%s_%s-r%s_all.ipk" % (package.name, package.version, package.release)


def pack(package, entries, epoch):
    """The bytes of the package, the same for the same files and time."""
    data = _tar([(name, 0o755, None) for name in tree.folders(entries)] + [tuple(entry) for entry in entries], epoch)
    control = [("/control", 0o644, _control(package, len(data), epoch).encode())]
    control.append(("/conffiles", 0o644, "".join(path + "\n" for path in package.conffiles).encode()))
    control += [("/" + name, 0o755, text.encode()) for name, text in script.for_opkg(package).items()]
    members = [
        ("/debian-binary", 0o644, b"2.0\n"),
        ("/data.tar.gz", 0o644, _gzip(data)),
        ("/control.tar.gz", 0o644, _gzip(_tar(sorted(control), epoch))),
    ]
    return _gzip(_tar(members, epoch))


def _control(package, installed_size, epoch):
    fields = [
        ("Package", package.name),
        ("Version", "%s-r%s" % (package.version, package.release)),
        ("Depends", ", ".join(package.depends)),
        ("Conflicts", ", ".join(package.conflicts)),
        ("Provides", ", ".join(package.provides)),
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


def _tar(members, epoch):
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


def _gzip(data):
    buffer = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", fileobj=buffer, mtime=0) as file:
        file.write(data)
    return buffer.getvalue()
