//! Device side: hand-off responder, DPS client, simulator.
