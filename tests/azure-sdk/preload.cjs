// The SDKs always connect to port 443. Loaded before them, this sends them to the emulator's port.
'use strict';
require('node:https').globalAgent.defaultPort = Number(process.env.AZURE_EMULATOR_PORT);
