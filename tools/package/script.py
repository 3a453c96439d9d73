"""The scripts that OpenWrt's build system gives every package (include/package-pack.mk there).

They hand over to default_postinst and default_prerm of /lib/functions.sh, which run uci-defaults, enable and start
init scripts, and stop and disable them. Both are there on every router, and in an image that is being built, whose root
is IPKG_INSTROOT.
"""

import re

import recipe

_LIBRARY = '[ -s "${IPKG_INSTROOT}/lib/functions.sh" ] || exit 0\n. "${IPKG_INSTROOT}/lib/functions.sh"\n'
_UNLESS_TOLD = '[ "${IPKG_NO_SCRIPT}" = "1" ] && exit 0\n'


def for_opkg(package: recipe.Package) -> "dict[str, str]":
    """{name: text}. The package's name is that of the script's file, which opkg calls NAME.postinst."""
    scripts = {
        "postinst": "#!/bin/sh\n" + _UNLESS_TOLD + _LIBRARY + "default_postinst $0 $@\n",
        "prerm": "#!/bin/sh\n" + _LIBRARY + "default_prerm $0 $@\n",
    }
    if package.postinst.strip():
        scripts["postinst-pkg"] = package.postinst  # default_postinst reads it
    if package.postrm.strip():
        scripts["postrm"] = package.postrm
    return scripts


def for_apk(package: recipe.Package) -> "dict[str, str]":
    """{name: text}. apk's scripts have no name of their own."""
    name = 'export root="${IPKG_INSTROOT}"\nexport pkgname="%s"\n' % package.name
    own = re.sub(r"^\s*#!.*\n", "", package.postinst, flags=re.MULTILINE)
    install = _UNLESS_TOLD + _LIBRARY + name + "add_group_and_user\ndefault_postinst\n" + own
    scripts = {
        "post-install": "#!/bin/sh\n" + install,
        "post-upgrade": "#!/bin/sh\nexport PKG_UPGRADE=1\n" + install,
        "pre-deinstall": "#!/bin/sh\n" + _LIBRARY + name + "default_prerm\n",
    }
    if package.postrm.strip():
        scripts["post-deinstall"] = package.postrm
    return scripts
