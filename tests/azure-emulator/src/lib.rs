//! A local DPS and IoT Hub that Microsoft's SDKs cannot tell from theirs.
