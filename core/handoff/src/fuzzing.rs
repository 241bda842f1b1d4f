//! One entry function per decoder, shared by the fuzz targets (core/handoff/fuzz) and by tests/fuzz_corpus.rs.
