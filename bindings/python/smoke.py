"""The generated Python module pairs one simulated device, over a radio written in Python."""

import asyncio
import json
import os
import pathlib
import struct
import subprocess
import tempfile
import unittest
import uuid

import lowtouch_bindings as lowtouch

TARGET = pathlib.Path(os.environ["LOWTOUCH_TARGET"])
VECTORS = pathlib.Path(__file__).parent.parent / "vectors"
SERVICE = uuid.UUID("1775244d-6b43-439b-877c-060f2d9bed07")
PATIENCE_S = 120


class World:
    """The process `lowtouch-world`: a real provisioning API, emulated DPS instances and simulated devices."""

    def __enter__(self):
        self.process = subprocess.Popen([TARGET / "lowtouch-world"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.ca_pem = json.loads(self.process.stdout.readline())["caPem"]
        return self

    def ask(self, question):
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


class Store(lowtouch.SecretStore):
    def __init__(self):
        self.kept = {}

    async def get(self, name):
        return self.kept.get(name)

    async def set(self, name, value):
        self.kept[name] = value

    async def delete(self, name):
        self.kept.pop(name, None)


class Network(lowtouch.NetworkState):
    async def next(self, known):
        if known is None:
            return lowtouch.NetworkStanding.ONLINE
        await asyncio.Event().wait()


class Scan(lowtouch.BleScan):
    def __init__(self, name):
        self.name = name

    async def next(self):
        await asyncio.sleep(0.02)
        return lowtouch.BleAdvertisement(
            address="02:00:00:00:00:01", name=self.name, rssi=-50, services=[], service_data=[]
        )

    async def stop(self):
        pass


class Connection(lowtouch.BleConnection):
    """Speaks the simulated GATT of core/links (simulated/remote.rs)."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer
        self.ended = asyncio.Event()

    async def ask(self, kind, payload):
        self.writer.write(struct.pack(">BH", kind, len(payload)) + payload)
        status, length = struct.unpack(">BH", await self.reader.readexactly(3))
        answer = await self.reader.readexactly(length)
        if status == 1:
            raise lowtouch.BleError.Att(code=answer[0])
        if status != 0:
            raise lowtouch.BleError.Disconnected(status=status)
        return answer

    async def request_mtu(self, mtu):
        return 247

    async def discover(self, descriptions):
        found, table = [], self.table
        while table:
            characteristic, length = uuid.UUID(bytes=table[:16]), table[16]
            name, table = table[17 : 17 + length], table[17 + length :]
            ident = lowtouch.BleCharacteristicId(service=SERVICE, uuid=characteristic, instance=0)
            found.append(
                lowtouch.BleCharacteristic(
                    id=ident, readable=True, writable=True, description=name if descriptions else None
                )
            )
        return [lowtouch.BleService(uuid=SERVICE, characteristics=found)]

    async def write(self, characteristic, value):
        await self.ask(2, characteristic.uuid.bytes + value)

    async def read(self, characteristic):
        return await self.ask(3, characteristic.uuid.bytes)

    async def disconnected(self):
        await self.ended.wait()
        return 0

    async def disconnect(self):
        self.writer.close()
        self.ended.set()


class Radio(lowtouch.BleCentral):
    def __init__(self, name, port):
        self.name, self.port = name, port

    async def scan(self, filter):
        return Scan(self.name)

    async def connect(self, address):
        connection = Connection(*await asyncio.open_connection("127.0.0.1", self.port))
        connection.table = await connection.ask(1, b"lowtouch simulated GATT 1")
        return connection


def kebab(enum):
    return enum.name.lower().replace("_", "-")


class Smoke(unittest.TestCase):
    def test_a_device_is_paired_to_assigned_over_a_radio_in_python(self):
        # Not in asyncio's debug mode: UniFFI cancels tasks from the core's threads.
        asyncio.run(self.pair())

    async def pair(self):
        lowtouch.uniffi_set_event_loop(asyncio.get_running_loop())
        with World() as world, tempfile.TemporaryDirectory() as folder:
            made = world.ask({"device": {}})
            name, port = json.loads(made["label"])["name"], int(made["address"].rsplit(":", 1)[1].split("?")[0])
            installer = lowtouch.Installer(
                lowtouch.InstallerSettings(data_dir=folder, extra_ca_pem=world.ca_pem),
                Store(), Network(), Radio(name, port), None,
            )
            invite = lowtouch.Invite.parse(world.ask({"invite": "Ines"})["invite"])
            await installer.sign_in_with_invite(invite, None)
            request = lowtouch.PairingRequest(label=lowtouch.Label.parse(made["label"]), link="ble://" + name)
            pairing = await installer.pair(request)
            events = []
            async with asyncio.timeout(PATIENCE_S):
                while (event := await pairing.next_event()) is not None:
                    events.append(event)
            self.assertTrue(events[-1].is_FINISHED(), events[-1])
            self.assertEqual(events[-1].paired.registration_id, made["registrationId"])
            self.assertEqual(world.ask({"hub": made["registrationId"]})["hubs"], [events[-1].paired.hub])
            await installer.shut_down()

    def test_the_vectors(self):
        for vector in json.loads((VECTORS / "labels.json").read_text()):
            try:
                label = lowtouch.Label.parse(vector["text"])
            except lowtouch.LabelError as error:
                self.assertEqual(error.failure.hint_key, vector["key"])
                other = getattr(error, "other", None)
                self.assertEqual(other and kebab(other), vector["other"])
            else:
                self.assertEqual((label.name(), label.link()), (vector["name"], vector["link"]))
                self.assertEqual(kebab(label.security()), vector["security"])
        codes = [
            {"key": words.key, "action": kebab(words.action)} for words in lowtouch.error_codes()
        ]
        kept = json.loads((VECTORS / "error-codes.json").read_text())
        self.assertEqual(codes, [{"key": code["key"], "action": code["action"]} for code in kept])


if __name__ == "__main__":
    unittest.main()
