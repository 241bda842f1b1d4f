//! Use cases: labels, provisioning-API client, pairing, journal.
