#![no_main]
libfuzzer_sys::fuzz_target!(|input: &[u8]| lowtouch_handoff::fuzzing::version(input));
