//! `uniffi-bindgen` in the version that the bindings are built with. Apart, so that the library that phones load does not
//! contain it.

fn main() {
    uniffi::uniffi_bindgen_main();
}
