#!/bin/sh
# Installs what the tests need, part by part, so that a fresh Debian machine needs nothing by hand:
#
#   venv         .venv with the test tools and the agent itself (editable)
#   apt          Debian packages that the tests on this machine's own kernel use; .cache/others/: servers that they start
#   compiler     gcc, for the traffic generator of the benchmarks
#   micropython  .cache/micropython/: the other interpreter, with ffi, next to its own C library
#   python       .cache/python/: a CPython newer than any that OpenWrt has, likewise
#   node         node_modules/: what checks the LuCI application and drives the browser, from npm
#   browser      Debian's Chromium
#   bigendian    .cache/bigendian/: a CPython and a MicroPython of big-endian processors, run by qemu's emulation of a
#                single process, and the kernel's headers for routers' processors (200 MB with the compiler)
#   plates       .cache/plates/: OpenCV and Tesseract for Debian's Python, and fonts, for examples/alpr (280 MB)
#   pictures     .cache/pictures/: 100 licence plates; and `plates`, which draws them
#   prometheus   .cache/prometheus/: Prometheus with promtool, its client library for Python, Lua 5.1, collectd (100 MB)
#   ansible      .cache/ansible/: ansible-core, and dropbear, the ssh server of routers
#   openwisp     .cache/openwisp/: the controller of OpenWISP for Debian's Python, and what its maps need (400 MB)
#   fuzz         atheris in .venv, which makes inputs that reach new code
#   kernel       .cache/vm/: two of Debian's kernels, and what boots them in software emulation (about 600 MB in all)
#   router-arm64, router-armhf, router-mipsel
#                .cache/routers/: a router's kernel and userland of that processor, and its emulator (about 200 MB each;
#                for mipsel a cross compiler as well, which builds MicroPython)
#
# Each part leaves a stamp in .cache/ and is skipped while the stamp fits its inputs and the things are really there.
# Needs root where packages are missing.
set -eu

cd "$(dirname "$0")/.."
ROOT=$(pwd)
CACHE=$ROOT/.cache
VENV=$ROOT/.venv
TRIXIE=$CACHE/trixie # apt's state for the newer release, apart from the machine's own
RELEASE=trixie       # which one

APT_PACKAGES="busybox-static curl ethtool iproute2 iperf3 iputils-ping nftables procps python3 shellcheck strace"
# Not installed, which would start some of them, but unpacked, with what they need and this machine has not.
OTHERS_PACKAGES="dnsmasq-base nginx chrony mosquitto mosquitto-clients crun umoci squashfs-tools"
# Unpacked alone: their web pages and services need the rest, the programs do not.
PROMETHEUS_PACKAGES="prometheus python3-prometheus-client python3-decorator lua5.1 liblua5.1-0 collectd-core libltdl7"
# The package without a service that would start.
ANSIBLE_APT_PACKAGES="dropbear-bin openssh-client python3 python3-venv"
OPENWISP_APT_PACKAGES="libsqlite3-mod-spatialite gdal-bin python3 python3-venv"
# micropython and, of the libraries it loads, those that this release has not or has too old.
MICROPYTHON_PACKAGES="micropython libc6 libffi8 libmbedcrypto16 libmbedtls21 libmbedx509-7"
# A newer CPython than any OpenWrt has (3.14), of Debian's next release, and of the libraries those that ctypes loads.
PYTHON=python3.15
PYTHON_RELEASE=forky
PYTHON_PACKAGES="$PYTHON-minimal lib$PYTHON-minimal lib$PYTHON-stdlib libc6 libexpat1 zlib1g libffi8"
# Debian has no packages for big-endian mips any more, but a compiler; so MicroPython is built from the source packages of
# the release that the other one is from. autoconf and its company make libffi's configure.
BIGENDIAN_APT_PACKAGES="qemu-user gcc-mips-linux-gnu libc6-dev-mips-cross make autoconf automake libtool libltdl-dev"
BIGENDIAN_SOURCES="micropython libffi"
# And s390x is big-endian and has packages: OpenWrt 24.10's CPython, of Debian's release with the same version.
BIGENDIAN_RELEASE=bookworm
BIGENDIAN_PACKAGES="python3.11-minimal libpython3.11-minimal libpython3.11-stdlib libc6 libexpat1 zlib1g libffi8
    iproute2 libbpf1 libelf1 libmnl0 libcap2 libbsd0 libmd0 libxtables12 libselinux1 libpcre2-8-0"
# What the licence-plate example needs beside its requirements.txt: Tesseract's model, and fonts to draw plates with.
PLATES_PACKAGES="tesseract-ocr-eng fonts-dejavu-core fonts-opendin fonts-roadgeek"
# The headers for MicroPython's numbers (tests/unit/test_numbers.py), of the machine's own release.
HEADERS_OF="amd64 i386 arm64 armhf mips powerpc riscv64 s390x"
# Only where the machine has none: its own may be newer. The versions of what comes from npm are in package-lock.json;
# Debian's Node.js 18 can run them.
NODE_APT_PACKAGES="nodejs npm"
# busybox-static and no plain busybox: virtme-ng runs it in an initramfs that has no C library. `file` tells it the
# version of a kernel.
KERNEL_APT_PACKAGES="qemu-system-x86 kmod udev busybox-static file iproute2 nftables
    procps iputils-ping iperf3 iw hostapd ppp pppoe wireguard-tools"
# 6.12 is the series of OpenWrt 25.12, which has all that Viscum can use. Debian bookworm's own 6.1 has no tcx: what
# OpenWrt 23.05 (5.15) and many a distribution still run.
KERNELS="6.12 6.1"
# linux-image-6.12.117+deb12-amd64, linux-image-6.1.0-56-amd64: no -cloud, -rt, -dbg or -unsigned.
KERNEL_PATTERN='^linux-image-%s\.[0-9]+[^-]*(-[0-9]+)?-amd64$'
VIRTME="virtme-ng==1.42"
# Shares the machine's files with the guest, four times as fast as what qemu has built in; not in Debian before trixie.
VIRTIOFSD_PACKAGES="virtiofsd libc6 libgcc-s1 libcap-ng0 libseccomp2"
# A router's userland: busybox, the two interpreters, and iproute2 for the tests. bookworm is the last release with
# mipsel; its MicroPython is too old, and trixie's needs trixie's C library, with which bookworm's programs run as well.
ROUTER_RELEASE=bookworm
ROUTER_PACKAGES="busybox-static python3.11-minimal libpython3.11-minimal libpython3.11-stdlib libexpat1 zlib1g libc6
    libffi8 libgcc-s1 iproute2 libbpf1 libelf1 libmnl0 libcap2 libbsd0 libmd0 libxtables12"
# What builds MicroPython for mipsel, and what of mipsel it is linked with.
MIPSEL_APT_PACKAGES="gcc gcc-mipsel-linux-gnu libc6-dev libc6-dev-mipsel-cross make dpkg-dev xz-utils"
MIPSEL_PACKAGES="libffi8 libffi-dev"

say() { printf 'setup: %s\n' "$*"; }
die() {
    printf 'setup: %s\n' "$*" >&2
    exit 1
}

# stamp PART INPUT...: what .cache/PART.stamp holds when PART was made by this recipe from these inputs.
stamp() {
    part=$1
    shift
    printf '%s %s\n' "$part" "$*" | sha256sum | cut -d' ' -f1
}
stamped() { [ "$(cat "$CACHE/$1.stamp" 2>/dev/null)" = "$2" ]; }

# Debian's own tools wait for one another, but `apt-get update` gives up at once when another one runs: so all of
# this script's go through here, one at a time, and try for five minutes.
apt_get() {
    tries=0
    until DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 "$@" \
        >"$CACHE/apt.log" 2>&1; do
        tries=$((tries + 1))
        if [ "$tries" -ge 60 ] || ! grep -q 'Could not get lock' "$CACHE/apt.log"; then
            tail -n 30 "$CACHE/apt.log" >&2
            die "apt-get $* failed"
        fi
        sleep 5
    done
}

# Prints those of the packages that are not installed.
missing() {
    for package; do
        state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) || state=none
        [ "$state" = installed ] || printf '%s ' "$package"
    done
}

UPDATED=no
update_once() {
    [ "$UPDATED" = no ] || return 0
    apt_get update
    UPDATED=yes
}

install_packages() {
    wanted=$(missing "$@")
    [ -n "$wanted" ] || return 0
    [ "$(id -u)" = 0 ] || die "needs root to install: $wanted"
    say "installing $wanted"
    update_once
    # shellcheck disable=SC2086 # a list of words
    apt_get install -y --no-install-recommends $wanted
}

only_amd64() {
    [ "$(dpkg --print-architecture)" = amd64 ] || die "the part '$1' is for amd64 machines only"
}

setup_venv() {
    python=$(command -v python3 || true)
    if [ -z "$python" ] || ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
        install_packages python3 python3-venv
        python=$(command -v python3)
    fi
    python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || die "$python is older than Python 3.11"
    # What follows the first tool's table is settings of tools: nothing to install.
    want=$(stamp venv "$ROOT" "$(sed '/^\[tool\.pytest/,$d' pyproject.toml)")
    if stamped venv "$want" && [ -x "$VENV/bin/pytest" ] && [ -x "$VENV/bin/ruff" ] && [ -x "$VENV/bin/mypy" ] &&
        [ -x "$VENV/bin/tox" ] && "$VENV/bin/python" -c 'import pytest, viscum_agent' 2>/dev/null; then
        return
    fi
    say "making .venv"
    # A venv whose interpreter has gone, or that was made at another path, cannot be mended.
    if ! "$VENV/bin/python" -c '' 2>/dev/null || ! "$VENV/bin/pip" --version >/dev/null 2>&1; then
        python3 -m venv --clear "$VENV"
    fi
    "$VENV/bin/python" -m pip install -qq --disable-pip-version-check -e '.[test]'
    printf '%s\n' "$want" >"$CACHE/venv.stamp"
}

setup_apt() {
    # shellcheck disable=SC2086 # a list of words
    install_packages $APT_PACKAGES
    [ "$(id -u)" = 0 ] || return 0 # so do the tests that start them need root
    want=$(stamp others 1 "$OTHERS_PACKAGES")
    if stamped others "$want" && [ -d "$CACHE/others/usr" ]; then
        return
    fi
    say "fetching $OTHERS_PACKAGES"
    update_once
    rm -rf "$CACHE/others" "$CACHE/others.packages"
    mkdir -p "$CACHE/others" "$CACHE/others.packages/partial"
    # shellcheck disable=SC2086 # a list of words
    apt_get -o APT::Sandbox::User=root -o Dir::Cache::archives="$CACHE/others.packages" \
        install -y --download-only --reinstall --no-install-recommends $OTHERS_PACKAGES
    for package in "$CACHE"/others.packages/*.deb; do
        dpkg -x "$package" "$CACHE/others"
    done
    rm -rf "$CACHE/others.packages"
    printf '%s\n' "$want" >"$CACHE/others.stamp"
}

setup_prometheus() {
    want=$(stamp prometheus 1 "$PROMETHEUS_PACKAGES")
    if stamped prometheus "$want" && [ -x "$CACHE/prometheus/usr/bin/promtool" ]; then
        return
    fi
    say "fetching $PROMETHEUS_PACKAGES"
    update_once
    rm -rf "$CACHE/prometheus"
    mkdir -p "$CACHE/prometheus/packages"
    # shellcheck disable=SC2086 # a list of words
    (cd "$CACHE/prometheus/packages" && apt_get -o APT::Sandbox::User=root download $PROMETHEUS_PACKAGES)
    for package in "$CACHE"/prometheus/packages/*.deb; do
        dpkg -x "$package" "$CACHE/prometheus"
    done
    rm -rf "$CACHE/prometheus/packages"
    "$CACHE/prometheus/usr/bin/promtool" --version >/dev/null || die "promtool does not run"
    printf '%s\n' "$want" >"$CACHE/prometheus.stamp"
}

setup_ansible() {
    only_amd64 ansible
    # shellcheck disable=SC2086 # a list of words
    install_packages $ANSIBLE_APT_PACKAGES
    pinned ansible bin/ansible-playbook
}

setup_openwisp() {
    only_amd64 openwisp
    # shellcheck disable=SC2086 # a list of words
    install_packages $OPENWISP_APT_PACKAGES
    case $(/usr/bin/python3 -V) in
    "Python 3.11."*) ;;
    *) die "the part 'openwisp' is for Python 3.11 (Debian bookworm): fleet/openwisp/requirements.txt has the hashes for it" ;;
    esac
    pinned openwisp bin/django-admin
}

# pinned ENGINE PROGRAM: .cache/ENGINE/ is a venv with what fleet/ENGINE/requirements.txt names, of Debian's own Python:
# others may have an sqlite3 that loads no extensions. One package there has no wheel.
pinned() {
    requirements=fleet/$1/requirements.txt
    want=$(stamp "$1" 1 "$ROOT" "$(/usr/bin/python3 -V)" "$(cat "$requirements")")
    if stamped "$1" "$want" && "$CACHE/$1/$2" --version >/dev/null 2>&1; then
        return
    fi
    say "making .cache/$1"
    /usr/bin/python3 -m venv --clear "$CACHE/$1"
    "$CACHE/$1/bin/python" -m pip install -qq --disable-pip-version-check --require-hashes --no-deps \
        --only-binary :all: --no-binary dj-rest-auth -r "$requirements"
    "$CACHE/$1/$2" --version >/dev/null || die "$2 of .cache/$1 does not run"
    printf '%s\n' "$want" >"$CACHE/$1.stamp"
}

setup_compiler() {
    install_packages gcc libc6-dev ethtool iperf3 util-linux
}

# apt_trixie ARGUMENT...: apt-get for Debian $RELEASE and the architecture $ARCH, with nothing of the machine's own lists,
# cache or status.
ARCH=$(dpkg --print-architecture)
apt_trixie() {
    # shellcheck disable=SC2046 # a list of words
    apt_get $(trixie_options) "$@"
}

# The words that tell apt and its tools so. No path in them has a blank: nor may that of the repository.
trixie_options() {
    printf -- '-o %s ' "APT::Architecture=$ARCH" "APT::Architectures=$ARCH" \
        "Dir::Etc::SourceList=$TRIXIE/sources.list" Dir::Etc::SourceParts=/dev/null \
        Dir::Etc::Preferences=/dev/null Dir::Etc::PreferencesParts=/dev/null \
        "Dir::State=$TRIXIE/state" "Dir::State::status=$TRIXIE/state/status" "Dir::Cache=$TRIXIE/cache" \
        APT::Default-Release= APT::Sandbox::User=root Acquire::Languages=none
}

# The mirror that this machine uses for its own release.
debian_mirror() {
    # shellcheck source=/dev/null
    codename=$(. /etc/os-release && printf '%s' "$VERSION_CODENAME")
    # shellcheck disable=SC2016 # apt replaces these words, not the shell
    apt-get indextargets --format '$(RELEASE) $(REPO_URI)' 'Created-By: Packages' |
        awk -v release="$codename" '$1 == release { print $2; exit }'
}

# open_trixie: the lists of Debian $RELEASE for $ARCH, in $TRIXIE; what is downloaded goes to $TRIXIE/packages. Nothing of
# the machine is touched.
open_trixie() {
    [ -f /usr/share/keyrings/debian-archive-trixie-automatic.gpg ] || {
        update_once
        apt_get install -y --no-install-recommends debian-archive-keyring
    }
    mirror=$(debian_mirror)
    [ -n "$mirror" ] || die "no Debian mirror among the machine's apt sources"
    rm -rf "$TRIXIE"
    mkdir -p "$TRIXIE/state/lists/partial" "$TRIXIE/cache/archives/partial" "$TRIXIE/packages"
    : >"$TRIXIE/state/status"
    for type in deb ${1:-}; do
        printf '%s [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] %s %s main\n' "$type" "$mirror" "$RELEASE"
    done >"$TRIXIE/sources.list"
    apt_trixie update
}

# packages_of_trixie FOLDER PACKAGE...: unpacks packages of the release into a folder.
packages_of_trixie() {
    folder=$1
    shift
    open_trixie
    rm -rf "$folder"
    mkdir -p "$folder"
    (cd "$TRIXIE/packages" && apt_trixie download "$@")
    for package in "$TRIXIE"/packages/*.deb; do
        dpkg -x "$package" "$folder"
    done
    rm -rf "$TRIXIE"
}

# unpack_trixie FOLDER PROGRAM LAUNCHER PACKAGE...: the same for packages that need trixie's C library, which is among
# them: LAUNCHER starts PROGRAM (a path in the folder) with it.
unpack_trixie() {
    program=$2
    launcher=$1/$3
    unpack=$1
    shift 3
    packages_of_trixie "$unpack" "$@"
    cat >"$launcher" <<EOF
#!/bin/sh
# Starts the program with the C library that was unpacked beside it.
here=\$(dirname "\$0")
lib=\$here/usr/lib/x86_64-linux-gnu
exec "\$lib/ld-linux-x86-64.so.2" --library-path "\$lib" "\$here/$program" "\$@"
EOF
    chmod +x "$launcher"
}

setup_micropython() {
    only_amd64 micropython
    want=$(stamp micropython 2 "$MICROPYTHON_PACKAGES")
    if stamped micropython "$want" && "$CACHE/micropython/micropython" -c 'import ffi' 2>/dev/null; then
        return
    fi
    say "fetching MicroPython"
    # shellcheck disable=SC2086 # a list of words
    unpack_trixie "$CACHE/micropython" usr/bin/micropython micropython $MICROPYTHON_PACKAGES
    "$CACHE/micropython/micropython" -c 'import ffi; ffi.open("libc.so.6").func("i", "getpid", "")()' ||
        die "MicroPython does not run"
    printf '%s\n' "$want" >"$CACHE/micropython.stamp"
}

setup_python() {
    only_amd64 python
    want=$(stamp python 1 "$PYTHON_RELEASE $PYTHON_PACKAGES")
    if stamped python "$want" && "$CACHE/python/python" -c 'import ctypes' 2>/dev/null; then
        return
    fi
    say "fetching $PYTHON"
    # shellcheck disable=SC2086 # a list of words
    RELEASE=$PYTHON_RELEASE && unpack_trixie "$CACHE/python" "usr/bin/$PYTHON" python $PYTHON_PACKAGES
    RELEASE=trixie
    "$CACHE/python/python" -c 'import ctypes' || die "$PYTHON does not run"
    printf '%s\n' "$want" >"$CACHE/python.stamp"
}

setup_bigendian() {
    only_amd64 bigendian
    # shellcheck disable=SC2086 # a list of words
    install_packages $BIGENDIAN_APT_PACKAGES
    big=$CACHE/bigendian
    want=$(stamp bigendian 1 "$ROOT" "$BIGENDIAN_RELEASE $BIGENDIAN_PACKAGES $BIGENDIAN_SOURCES $HEADERS_OF")
    if stamped bigendian "$want" && "$big/python" -c 'import ctypes' 2>/dev/null &&
        "$big/micropython" -c 'import ffi' 2>/dev/null && [ -d "$big/headers/usr" ]; then
        return
    fi
    rm -rf "$big"
    mkdir -p "$big"
    fetch_headers
    say "fetching a CPython for s390x"
    # shellcheck disable=SC2086 # a list of words
    newer=$RELEASE
    # shellcheck disable=SC2086 # a list of words
    RELEASE=$BIGENDIAN_RELEASE ARCH=s390x && packages_of_trixie "$big/s390x" $BIGENDIAN_PACKAGES
    RELEASE=$newer ARCH=$(dpkg --print-architecture)
    emulated "$big/python" s390x "$big/s390x" "$big/s390x/usr/bin/python3.11"
    build_for_mips
    emulated "$big/micropython" mips /usr/mips-linux-gnu "$big/mips/micropython"
    "$big/python" -c 'import sys, ctypes; assert sys.byteorder == "big"' || die "the big-endian CPython does not run"
    "$big/micropython" -c 'import sys, ffi; assert sys.byteorder == "big"' || die "the big-endian MicroPython does not run"
    printf '%s\n' "$want" >"$CACHE/bigendian.stamp"
}

# emulated LAUNCHER PROCESSOR LIBRARIES PROGRAM: LAUNCHER starts PROGRAM in qemu, which finds its C library in LIBRARIES.
emulated() {
    printf '#!/bin/sh\n# A program of another processor.\nexec qemu-%s -L "%s" "%s" "$@"\n' "$2" "$3" "$4" >"$1"
    chmod +x "$1"
}

fetch_headers() {
    say "fetching the kernel's headers for other processors"
    update_once
    mkdir -p "$CACHE/bigendian/headers" "$CACHE/bigendian/download"
    # shellcheck disable=SC2086 # a list of words
    packages=$(printf 'linux-libc-dev-%s-cross ' $HEADERS_OF)
    # shellcheck disable=SC2086 # likewise
    (cd "$CACHE/bigendian/download" && apt_get -o APT::Sandbox::User=root download $packages)
    for package in "$CACHE"/bigendian/download/*.deb; do
        dpkg -x "$package" "$CACHE/bigendian/headers"
    done
    rm -rf "$CACHE/bigendian/download"
}

# Without what is no part of the agent's: TLS, Java, a database, frozen modules (they would need a compiler for byte code).
build_for_mips() {
    say "building MicroPython for big-endian mips"
    build=$CACHE/bigendian/build
    open_trixie deb-src
    rm -rf "$build"
    mkdir -p "$build/source" "$build/micropython" "$build/libffi" "$CACHE/bigendian/mips"
    # shellcheck disable=SC2086 # a list of words
    (cd "$build/source" && apt_trixie source --download-only $BIGENDIAN_SOURCES)
    rm -rf "$TRIXIE"
    for source in $BIGENDIAN_SOURCES; do
        tar -xf "$build/source/$source"_*.orig.tar.* --strip-components=1 -C "$build/$source"
    done
    set +e # in a condition the shell would go on after an error
    (
        set -e
        cd "$build/libffi"
        autoreconf -i
        ./configure --host=mips-linux-gnu --disable-shared --disable-docs --disable-multi-os-directory --prefix="$build"
        make install
        cd "$build/micropython/ports/unix"
        make -j2 CROSS_COMPILE=mips-linux-gnu- VARIANT=standard FROZEN_MANIFEST= MICROPY_PY_SSL=0 MICROPY_SSL_AXTLS=0 \
            MICROPY_SSL_MBEDTLS=0 MICROPY_PY_BTREE=0 MICROPY_PY_FFI=1 MICROPY_PY_JNI=0 STRIP=true \
            LIBFFI_CFLAGS="-I$build/include" LIBFFI_LDFLAGS="-L$build/lib -lffi"
        cp build-standard/micropython "$CACHE/bigendian/mips/micropython"
    ) >"$CACHE/bigendian/build.log" 2>&1
    built=$?
    set -e
    [ "$built" = 0 ] || {
        tail -n 30 "$CACHE/bigendian/build.log" >&2
        die "building MicroPython for mips failed"
    }
    rm -rf "$build"
}

setup_node() {
    # shellcheck disable=SC2086 # a list of words
    command -v npm >/dev/null || install_packages $NODE_APT_PACKAGES
    want=$(stamp node 1 "$ROOT" "$(cat package-lock.json)")
    if stamped node "$want" && [ -x node_modules/.bin/eslint ] &&
        [ -d node_modules/playwright-core ]; then
        return
    fi
    say "fetching what checks the LuCI application and drives the browser"
    npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >&2
    printf '%s\n' "$want" >"$CACHE/node.stamp"
}

setup_browser() {
    install_packages chromium
}

# Not in .venv: services are started with Debian's Python, whose accounts may read no other, and their example brings
# its libraries along.
setup_plates() {
    only_amd64 plates
    setup_venv
    [ -x /usr/bin/python3 ] || install_packages python3
    want=$(stamp plates 1 "$PLATES_PACKAGES" "$(/usr/bin/python3 -V)" "$(cat examples/alpr/requirements.txt)")
    if stamped plates "$want" && PYTHONPATH=$CACHE/plates /usr/bin/python3 -c 'import cv2, tesserocr, PIL' 2>/dev/null; then
        return
    fi
    say "fetching OpenCV, Tesseract and fonts"
    rm -rf "$CACHE/plates" "$CACHE/plates.packages"
    "$VENV/bin/python" -m pip --python /usr/bin/python3 install -qq --disable-pip-version-check --root-user-action ignore \
        --require-hashes --only-binary :all: --no-deps --target "$CACHE/plates" -r examples/alpr/requirements.txt
    update_once
    mkdir -p "$CACHE/plates.packages"
    # shellcheck disable=SC2086 # a list of words
    (cd "$CACHE/plates.packages" && apt_get -o APT::Sandbox::User=root download $PLATES_PACKAGES)
    for package in "$CACHE"/plates.packages/*.deb; do
        dpkg -x "$package" "$CACHE/plates"
    done
    rm -rf "$CACHE/plates.packages"
    chmod -R a+rX "$CACHE/plates" # whatever the umask is
    PYTHONPATH=$CACHE/plates /usr/bin/python3 -c 'import cv2, tesserocr, PIL' || die "OpenCV or Tesseract does not run"
    printf '%s\n' "$want" >"$CACHE/plates.stamp"
}

# For tests: a guest's processor would take ten seconds for each.
setup_pictures() {
    setup_plates
    want=$(stamp pictures 1 "$(cat "$CACHE/plates.stamp" examples/alpr/render.py examples/alpr/formats.py)")
    if stamped pictures "$want" && [ -f "$CACHE/pictures/plates.json" ]; then
        return
    fi
    say "drawing licence plates"
    rm -rf "$CACHE/pictures"
    # No seed that the reader was tuned with (1 to 20).
    PYTHONPATH=$CACHE/plates /usr/bin/python3 examples/alpr/render.py "$CACHE/pictures" --seed 3010
    printf '%s\n' "$want" >"$CACHE/pictures.stamp"
}

setup_fuzz() {
    setup_venv
    if "$VENV/bin/python" -c 'import atheris' 2>/dev/null; then
        return
    fi
    say "installing atheris"
    "$VENV/bin/python" -m pip install -qq --disable-pip-version-check -e '.[fuzz]'
}

setup_kernel() {
    only_amd64 kernel
    setup_venv
    # shellcheck disable=SC2086 # a list of words
    install_packages $KERNEL_APT_PACKAGES
    [ -x "$VENV/bin/vng" ] || "$VENV/bin/python" -m pip install -qq --disable-pip-version-check "$VIRTME"
    want=$(stamp kernel 3 "$KERNELS" "$KERNEL_PATTERN" "$VIRTIOFSD_PACKAGES")
    if stamped kernel "$want" && have_kernels && "$CACHE/vm/virtiofsd/virtiofsd" --version >/dev/null 2>&1; then
        return
    fi
    rm -rf "$CACHE/vm"
    for series in $KERNELS; do
        fetch_kernel "$series"
    done
    say "fetching virtiofsd"
    # shellcheck disable=SC2086 # a list of words
    unpack_trixie "$CACHE/vm/virtiofsd" usr/libexec/virtiofsd virtiofsd $VIRTIOFSD_PACKAGES
    "$CACHE/vm/virtiofsd/virtiofsd" --version >/dev/null || die "virtiofsd does not run"
    printf '%s\n' "$want" >"$CACHE/kernel.stamp"
}

have_kernels() {
    for series in $KERNELS; do
        [ -f "$CACHE/vm/kernel-$series/vmlinuz" ] || return 1
    done
}

# fetch_kernel SERIES: unpacks its newest kernel into .cache/vm/kernel-SERIES, where `vmlinuz` leads to the image. It is
# not installed: no boot loader, no hooks, and the machine keeps its own; virtme-ng finds the modules beside the image.
fetch_kernel() {
    folder=$CACHE/vm/kernel-$1
    # shellcheck disable=SC2059 # a pattern with a place in it
    pattern=$(printf "$KERNEL_PATTERN" "$(printf '%s' "$1" | sed 's/\./\\./')")
    # A package that the lists name may be gone from the mirror, where security updates replace kernels.
    update_once
    image=$(apt-cache pkgnames "linux-image-$1." | grep -E "$pattern" | sort -V | tail -n 1)
    [ -n "$image" ] || die "no package like $pattern among the machine's apt sources"
    say "fetching $image"
    mkdir -p "$folder" "$CACHE/vm/download"
    (cd "$CACHE/vm/download" && apt_get -o APT::Sandbox::User=root download "$image")
    dpkg -x "$CACHE/vm/download/"*.deb "$folder"
    rm -rf "$CACHE/vm/download"
    version=${image#linux-image-}
    depmod -b "$folder" "$version"
    ln -s "boot/vmlinuz-$version" "$folder/vmlinuz"
}

setup_router_arm64() {
    setup_router arm64 arm64 qemu-system-arm
}

setup_router_armhf() {
    setup_router armhf armmp qemu-system-arm
}

setup_router_mipsel() {
    setup_router mipsel 4kc-malta qemu-system-mips
}

# setup_router ARCHITECTURE KERNEL EMULATOR: .cache/routers/ARCHITECTURE/, with the kernel's package in kernel/ (`vmlinuz`
# leads to the image) and a root folder in root/, as far as it is Debian's. KERNEL is how the kernel's name ends.
setup_router() {
    only_amd64 "router-$1"
    install_packages "$3" kmod busybox-static
    folder=$CACHE/routers/$1
    want=$(stamp "router-$1" 1 "$2" "$ROUTER_RELEASE $ROUTER_PACKAGES" "$RELEASE $MICROPYTHON_PACKAGES" \
        "$MIPSEL_APT_PACKAGES $MIPSEL_PACKAGES" "$(cat tools/micropython_mipsel.sh)")
    if stamped "router-$1" "$want" && [ -f "$folder/kernel/vmlinuz" ] && [ -x "$folder/root/usr/bin/micropython" ]; then
        return
    fi
    say "fetching a router's kernel and userland ($1)"
    rm -rf "$folder"
    mkdir -p "$folder/kernel" "$folder/root/usr"
    for name in bin sbin lib; do # as trixie's packages want it
        mkdir "$folder/root/usr/$name"
        ln -s "usr/$name" "$folder/root/$name"
    done
    newer=$RELEASE
    ARCH=$1 RELEASE=$ROUTER_RELEASE
    open_trixie
    # shellcheck disable=SC2046 # a list of words
    image=$(apt-cache $(trixie_options) pkgnames linux-image-6.1. |
        grep -E "^linux-image-6\.1\.[0-9]+-[0-9]+-$2\$" | sort -V | tail -n 1)
    [ -n "$image" ] || die "no kernel for $1 in $RELEASE"
    # shellcheck disable=SC2086 # a list of words
    (cd "$TRIXIE/packages" && apt_trixie download "$image" $ROUTER_PACKAGES)
    dpkg -x "$TRIXIE/packages/$image"_*.deb "$folder/kernel"
    rm "$TRIXIE/packages/$image"_*.deb
    unpack_into "$folder/root"
    version=${image#linux-image-}
    depmod -b "$folder/kernel" "$version"
    ln -s "boot/$(basename "$folder"/kernel/boot/vmlinu*)" "$folder/kernel/vmlinuz"
    RELEASE=$newer
    if [ "$1" = mipsel ]; then
        build_micropython "$folder/root"
    else
        open_trixie
        # shellcheck disable=SC2086 # a list of words
        (cd "$TRIXIE/packages" && apt_trixie download $MICROPYTHON_PACKAGES)
        unpack_into "$folder/root"
    fi
    rm -rf "$TRIXIE"
    ARCH=$(dpkg --print-architecture)
    printf '%s\n' "$want" >"$CACHE/router-$1.stamp"
}

# unpack_into FOLDER: what was downloaded, over what is there, through its links.
unpack_into() {
    for package in "$TRIXIE"/packages/*.deb; do
        dpkg-deb --fsys-tarfile "$package" | tar -x --keep-directory-symlink -C "$1" --exclude './usr/share/doc' \
            --exclude './usr/share/man' --exclude './usr/share/locale'
    done
}

# build_micropython ROOT: Debian's has no mipsel any more, so its source is built here, for what is in bookworm.
build_micropython() {
    # shellcheck disable=SC2086 # a list of words
    install_packages $MIPSEL_APT_PACKAGES
    RELEASE=$ROUTER_RELEASE
    open_trixie
    # shellcheck disable=SC2086 # a list of words
    (cd "$TRIXIE/packages" && apt_trixie download $MIPSEL_PACKAGES)
    mkdir "$TRIXIE/mipsel"
    unpack_into "$TRIXIE/mipsel"
    mv "$TRIXIE/mipsel" "$CACHE/routers/mipsel/linked"
    RELEASE=$newer ARCH=$(dpkg --print-architecture)
    open_trixie deb-src
    say "building MicroPython for mipsel"
    (cd "$TRIXIE/packages" && apt_trixie source --download-only micropython)
    tools/micropython_mipsel.sh "$TRIXIE/packages" "$CACHE/routers/mipsel/linked" "$1/usr/bin/micropython" \
        >"$CACHE/routers/mipsel/build.log" 2>&1 || {
        tail -n 30 "$CACHE/routers/mipsel/build.log" >&2
        die "MicroPython for mipsel could not be built"
    }
    rm -rf "$CACHE/routers/mipsel/linked"
}

[ $# -gt 0 ] || die "usage: tools/setup.sh PART ...; its first lines list the parts"
for part; do
    case $part in
    venv | apt | compiler | micropython | python | node | browser | bigendian | plates | pictures | prometheus | fuzz | kernel) ;;
    ansible | openwisp) ;;
    router-arm64 | router-armhf | router-mipsel) ;;
    *) die "no part '$part'; the first lines of tools/setup.sh list them" ;;
    esac
done
mkdir -p "$CACHE"
# One set-up at a time: two that make the same folder would take it from each other.
exec 9>"$CACHE/setup.lock"
flock 9
for part; do
    "setup_$(echo "$part" | tr - _)"
done
