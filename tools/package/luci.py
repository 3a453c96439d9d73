"""What the LuCI application's Makefile leaves to luci.mk of the feed `luci`, which is not at hand here: where its files
go, and the script that has rpcd and the browser's menu see it."""

import re
from pathlib import Path

import recipe

# Folders of an application, and what they are on the router.
PLACES = {"htdocs": "/www", "root": ""}
# Of luci.mk, in the words of its Package/NAME/postinst: menus are cached, and rpcd reads its ACL files when it starts.
POSTINST = """[ -n "${IPKG_INSTROOT}" ] || {
	rm -f /tmp/luci-indexcache.*
	rm -rf /tmp/luci-modulecache/
	/etc/init.d/rpcd reload 2>/dev/null
	exit 0
}
"""


def read(makefile: Path) -> recipe.Package:
    """The package of an application's Makefile; its name is that of the folder."""
    text = makefile.read_text(encoding="utf-8")
    if not re.search(r"^include .*/luci\.mk$", text, re.MULTILINE):
        raise recipe.RecipeError("%s: does not include luci.mk" % makefile)
    variables = recipe.variables(text)
    if variables["LUCI_PKGARCH"] != "all":
        raise recipe.RecipeError("%s: is not for all architectures" % makefile)
    return recipe.Package(
        name=Path(makefile).resolve().parent.name,
        version=variables["PKG_VERSION"],
        release=variables["PKG_RELEASE"],
        maintainer=variables["PKG_MAINTAINER"],
        license=variables["PKG_LICENSE"],
        license_files="",  # luci.mk copies no more than the folders below
        section="luci",
        title=variables["LUCI_TITLE"],
        description=variables["LUCI_DESCRIPTION"],
        depends=[recipe.dependency(word, makefile) for word in variables["LUCI_DEPENDS"].split()],
        conflicts=[],
        provides=[],
        replaces=[],
        conffiles=[],
        postinst=POSTINST,
        postrm=variables["Package/%s/postrm" % Path(makefile).resolve().parent.name].replace("$$", "$") + "\n",
        priority=0,
    )
