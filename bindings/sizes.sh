#!/bin/sh
# What each use case adds to the shared library: links it again without the use case's functions, when all that only they reach falls
# away. Stands in for the linker, so that the code is generated once. On Linux, with lld (Rust's own):
#   cargo rustc --locked --profile small -p lowtouch-bindings --lib --crate-type cdylib -- -C "linker=$PWD/bindings/sizes.sh"
# Writes target/sizes.txt: bytes of the stripped library. What several use cases share counts for none of them.
set -eu

cc "$@"
list= library=
for arg in "$@"; do
    case "$arg" in
        -Wl,--version-script=*) list=${arg#-Wl,--version-script=} ;;
        */liblowtouch_bindings.so) library=$arg ;;
    esac
done
[ -n "$list" ] && [ -n "$library" ] || exit 0 # a build script or a macro

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp "$list" "$work/list"
while read -r functions name; do
    sed -E "/^ *(uniffi|UNIFFI_META)_lowtouch_bindings_.*($functions)/Id" "$work/list" >"$list"
    cc "$@" -Wl,--strip-all -Wl,-z,pack-relative-relocs -o "$work/library.so"
    echo "$(stat -c %s "$work/library.so") $name"
done >"${CARGO_TARGET_DIR:-target}/sizes.txt" <<'END'
nothing_of_this_name all
doctor without the doctor
journal|_tell$ without journal and telling
order without work orders and their download
picture without QR codes in pictures
browser|devicecode|device_code without sign-in by browser and device code
sign|invite|account|who_am without any sign-in
nearby|wifi|device_info|networkjob|set_network without searching, Wi-Fi and device information
pair without pairing
.* without any function
END
