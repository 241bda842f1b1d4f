//! The service that tells the app which DPS instance a device belongs to.
