//! The protobuf envelope of the handshake (`session.proto`, `sec0.proto`, `sec1.proto`, `sec2.proto` of protocomm).
