#!/bin/sh
# Builds liblowtouch_bindings.so for each ABI into build/jniLibs. Needs the Android NDK (ANDROID_NDK_HOME), cargo-ndk and
#   rustup target add aarch64-linux-android armv7-linux-androideabi x86_64-linux-android
# Nobody has run it yet: see docs/compatibility.md.
set -eu

cd "$(dirname "$0")"
# The oldest Android that build.gradle.kts names. 16 kB pages: Google Play asks for them from Android 15 on. Relocations packed as
# Android has unpacked them since 6.0: half a megabyte less.
RUSTFLAGS="${RUSTFLAGS:-} -C link-arg=-Wl,-z,max-page-size=16384 -C link-arg=-Wl,--pack-dyn-relocs=android"
export RUSTFLAGS
# One kind of library alone: beside the others it is a fifth larger (docs/benchmarks.md).
cargo ndk --platform 26 -t arm64-v8a -t armeabi-v7a -t x86_64 -o "$PWD/build/jniLibs" \
    --manifest-path ../../../Cargo.toml rustc --locked -p lowtouch-bindings --lib --crate-type cdylib --profile "${PROFILE:-small}"
