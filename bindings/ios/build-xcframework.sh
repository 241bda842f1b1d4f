#!/bin/sh
# Builds LowtouchBindingsFFI.xcframework and the generated Swift file beside it. On a Mac with Xcode, and the Rust targets
#   rustup target add aarch64-apple-ios aarch64-apple-ios-sim x86_64-apple-ios aarch64-apple-darwin
# A release needs both: docs/mobile.md. Nobody has run it yet: see docs/compatibility.md.
set -eu

cd "$(dirname "$0")"
root=$(cd ../.. && pwd)
target=${CARGO_TARGET_DIR:-$root/target}
profile=${PROFILE:-small}
build=$root/bindings/ios/build
rm -rf "$build" LowtouchBindingsFFI.xcframework
mkdir -p "$build/headers" "$build/simulator" Generated/LowtouchBindings

# The oldest iOS that Package.swift names, so that the linker does not take the Mac's.
export IPHONEOS_DEPLOYMENT_TARGET=16.0 MACOSX_DEPLOYMENT_TARGET=13.0
for triple in aarch64-apple-ios aarch64-apple-ios-sim x86_64-apple-ios aarch64-apple-darwin; do
    cargo build --locked -p lowtouch-bindings --profile "$profile" --target "$triple" --manifest-path "$root/Cargo.toml"
done

cargo run --locked -p lowtouch-bindgen --manifest-path "$root/Cargo.toml" -- generate \
    --library "$target/aarch64-apple-darwin/$profile/liblowtouch_bindings.dylib" --language swift --out-dir "$build/generated"
mv "$build/generated/LowtouchBindings.swift" Generated/LowtouchBindings/
mv "$build/generated/LowtouchBindingsFFI.h" "$build/headers/"
mv "$build/generated/LowtouchBindingsFFI.modulemap" "$build/headers/module.modulemap"

library() { echo "$target/$1/$profile/liblowtouch_bindings.a"; }
# Both simulators in one file: an XCFramework has one library for each platform.
lipo -create "$(library aarch64-apple-ios-sim)" "$(library x86_64-apple-ios)" -output "$build/simulator/liblowtouch_bindings.a"
xcodebuild -create-xcframework \
    -library "$(library aarch64-apple-ios)" -headers "$build/headers" \
    -library "$build/simulator/liblowtouch_bindings.a" -headers "$build/headers" \
    -library "$(library aarch64-apple-darwin)" -headers "$build/headers" \
    -output LowtouchBindingsFFI.xcframework

ditto -c -k --keepParent LowtouchBindingsFFI.xcframework "$build/LowtouchBindingsFFI.xcframework.zip"
swift package compute-checksum "$build/LowtouchBindingsFFI.xcframework.zip"
