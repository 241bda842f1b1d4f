"""Figures for docs/benchmarks.md: memory of 1 and of 100 pairings that run. Beside Python itself nothing else is in the process."""

import asyncio
import gc
import json
import tempfile

import lowtouch_bindings as lowtouch
from smoke import Connection, Network, Radio, Scan, Store, World


def kilobytes(key="VmRSS"):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(key + ":"))


class Held(Connection):
    """Holds its pairing in the middle of the hand-off."""

    async def write(self, characteristic, value):
        self.writes = getattr(self, "writes", 0) + 1
        if self.writes == 8:
            self.radio.held += 1
            await self.radio.go.wait()
        await super().write(characteristic, value)


class AnyName(Scan):
    """Every device is heard, with its port for an address."""

    async def next(self):
        heard = await super().next()
        heard.address = self.name
        return heard


class ManyDevices(Radio):
    def __init__(self, ports):
        self.ports, self.held, self.go = ports, 0, asyncio.Event()

    async def scan(self, filter):
        return AnyName(filter.name)

    async def connect(self, address):
        connection = Held(*await asyncio.open_connection("127.0.0.1", int(address)))
        connection.radio = self
        connection.table = await connection.ask(1, b"lowtouch simulated GATT 1")
        return connection


async def main():
    lowtouch.uniffi_set_event_loop(asyncio.get_running_loop())
    with World() as world, tempfile.TemporaryDirectory() as folder:
        made = [world.ask({"device": {}}) for _ in range(101)]
        radio = ManyDevices(None)
        before = kilobytes()
        installer = lowtouch.Installer(
            lowtouch.InstallerSettings(data_dir=folder, extra_ca_pem=world.ca_pem), Store(), Network(), radio, None
        )
        await installer.sign_in_with_invite(lowtouch.Invite.parse(world.ask({"invite": "Ines"})["invite"]), None)
        await installer.journal(1)
        gc.collect()
        idle = kilobytes()
        print(f"Installer, signed in, journal open: {(idle - before) / 1024:.1f} MB")
        pairings = []

        async def begin(device):
            port = device["address"].rsplit(":", 1)[1].split("?")[0]
            label = lowtouch.Label.parse(device["label"])
            pairings.append(await installer.pair(lowtouch.PairingRequest(label=label, link="ble://" + port)))

        async def held(count):
            while radio.held < count:
                await asyncio.sleep(0.05)
            gc.collect()
            return kilobytes()

        await begin(made[0])
        one = await held(1)
        print(f"one pairing in its hand-off: {(one - idle) / 1024:.1f} MB more")
        for device in made[1:]:
            await begin(device)
        hundred = await held(101)
        print(f"a hundred more: {(hundred - one) / 1024:.1f} MB more, {(hundred - one) / 100:.0f} kB each")
        radio.go.set()
        for pairing in pairings:
            await pairing.outcome()
        print(f"peak: {kilobytes('VmHWM') / 1024:.0f} MB, of which Python had {before / 1024:.0f} MB before")
        await installer.shut_down()


asyncio.run(main())
