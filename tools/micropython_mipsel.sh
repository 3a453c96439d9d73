#!/bin/sh
# Builds MicroPython for mipsel from Debian's source package, as OpenWrt builds its micropython-nossl: with ffi, without
# TLS. tools/setup.sh calls it.
#
#   micropython_mipsel.sh SOURCES LINKED PROGRAM    SOURCES has the parts of the source package, LINKED mipsel's libffi
set -eu

sources=$(readlink -f "$1")
linked=$(readlink -f "$2")
program=$(readlink -f "$3")
work=$(mktemp -d "${TMPDIR:-/tmp}/viscum-micropython.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM HUP

tar -xf "$sources"/micropython_*.orig.tar.xz -C "$work" --strip-components 1
tar -xf "$sources"/micropython_*.debian.tar.xz -C "$work"
cd "$work"
# Debian's patches, among them the version, which would come from git otherwise.
while read -r name; do
    case $name in '' | '#'*) continue ;; esac
    patch -s -p1 <"debian/patches/$name"
done <debian/patches/series
make -C ports/unix -j "$(nproc)" CROSS_COMPILE=mipsel-linux-gnu- \
    MICROPY_PY_SSL=0 MICROPY_SSL_MBEDTLS=0 MICROPY_PY_BTREE=0 MICROPY_PY_JNI=0 MICROPY_PY_FFI=1 \
    MICROPY_VFS_FAT=0 MICROPY_VFS_LFS1=0 MICROPY_VFS_LFS2=0 FROZEN_MANIFEST= \
    LIBFFI_CFLAGS="-I$linked/usr/include/mipsel-linux-gnu" LIBFFI_LDFLAGS="-L$linked/usr/lib/mipsel-linux-gnu -lffi"
cp ports/unix/build-standard/micropython "$program"
