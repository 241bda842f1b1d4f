//! Ways to reach a device: HTTP, serial, simulated BLE.
