#if canImport(CoreBluetooth)
    @preconcurrency import CoreBluetooth
    import Foundation
    #if canImport(UIKit)
        import UIKit
    #endif

    extension PhoneBle {
        /// The phone's own radio. Make it when the app starts: iOS hands back what it kept for the app only then.
        ///
        /// - Parameter restoreIdentifier: iOS keeps connections and scans under this name while the app is suspended, and starts the app again for
        ///   them. Nil where the app has no background mode `bluetooth-central`.
        public convenience init(restoreIdentifier: String? = "io.lowtouch.ble") {
            self.init(radio: CoreBluetoothRadio(restoreIdentifier: restoreIdentifier))
        }
    }

    /// Translates, and decides nothing: what is decided is in `Central`, which is tested without a radio. Everything here runs on one queue.
    final class CoreBluetoothRadio: NSObject, Radio, @unchecked Sendable {
        let events: AsyncStream<RadioEvent>
        private let tell: AsyncStream<RadioEvent>.Continuation
        private let queue = DispatchQueue(label: "io.lowtouch.ble")
        private var central: CBCentralManager!
        // On the queue. CoreBluetooth forgets a peripheral that nobody holds.
        private var peripherals: [UUID: CBPeripheral] = [:]

        init(restoreIdentifier: String?) {
            (events, tell) = AsyncStream.makeStream()
            super.init()
            var options: [String: Any] = [CBCentralManagerOptionShowPowerAlertKey: false]
            if let restoreIdentifier { options[CBCentralManagerOptionRestoreIdentifierKey] = restoreIdentifier }
            central = CBCentralManager(delegate: self, queue: queue, options: options)
            #if canImport(UIKit)
                let center = NotificationCenter.default
                center.addObserver(self, selector: #selector(went), name: UIApplication.didEnterBackgroundNotification, object: nil)
                center.addObserver(self, selector: #selector(came), name: UIApplication.willEnterForegroundNotification, object: nil)
                center.addObserver(self, selector: #selector(came), name: UIApplication.didBecomeActiveNotification, object: nil)
                // iOS starts an app in the background too, for what it kept for it, and posts nothing then.
                Task { @MainActor [tell] in
                    let inBackground = UIApplication.shared.applicationState == .background
                    tell.yield(.inBackground(inBackground))
                }
            #endif
        }

        deinit { tell.finish() }

        @objc private func went() { tell.yield(.inBackground(true)) }
        @objc private func came() { tell.yield(.inBackground(false)) }

        func listen(for wanted: Listening) {
            queue.async {
                guard self.central.state == .poweredOn else { return }
                let services: [CBUUID]? =
                    switch wanted {
                    case .everything: nil
                    case .services(let services): services.map { CBUUID(nsuuid: $0) }
                    }
                self.central.stopScan()
                self.central.scanForPeripherals(withServices: services, options: [CBCentralManagerScanOptionAllowDuplicatesKey: true])
            }
        }

        func stopListening() {
            queue.async {
                if self.central.state == .poweredOn { self.central.stopScan() }
            }
        }

        func connect(_ device: UUID) -> Bool {
            queue.sync {
                let known = peripherals[device] ?? central.retrievePeripherals(withIdentifiers: [device]).first
                guard let peripheral = known else { return false }
                peripherals[device] = peripheral
                peripheral.delegate = self
                central.connect(peripheral)
                return true
            }
        }

        func disconnect(_ device: UUID) {
            queue.async {
                guard self.central.state == .poweredOn, let peripheral = self.peripherals[device] else { return }
                self.central.cancelPeripheralConnection(peripheral)
            }
        }

        func mtu(of device: UUID) -> UInt16 {
            // iOS shows the longest write without response: the MTU less ATT's header of 3 bytes.
            queue.sync { peripherals[device].map { UInt16(clamping: $0.maximumWriteValueLength(for: .withoutResponse) + 3) } ?? 23 }
        }

        func begin(_ operation: GattOperation, on device: UUID) {
            queue.async {
                guard let peripheral = self.peripherals[device] else { return }
                switch operation {
                case .services: peripheral.discoverServices(nil)
                case .characteristics(let service):
                    guard let service = self.service(peripheral, service) else { return self.lacks(operation, device) }
                    peripheral.discoverCharacteristics(nil, for: service)
                case .descriptors(let service, let place):
                    guard let found = self.characteristic(peripheral, service, place) else { return self.lacks(operation, device) }
                    peripheral.discoverDescriptors(for: found)
                case .describe(let service, let place):
                    guard let found = self.characteristic(peripheral, service, place).flatMap(self.description) else {
                        return self.lacks(operation, device)
                    }
                    peripheral.readValue(for: found)
                case .write(let service, let place, let value):
                    guard let found = self.characteristic(peripheral, service, place) else { return self.lacks(operation, device) }
                    peripheral.writeValue(value, for: found, type: .withResponse)
                    self.writing[device] = value
                case .read(let service, let place):
                    guard let found = self.characteristic(peripheral, service, place) else { return self.lacks(operation, device) }
                    peripheral.readValue(for: found)
                }
            }
        }

        /// The value of the write under way: iOS's answer does not repeat it.
        private var writing: [UUID: Data] = [:]

        private func lacks(_ operation: GattOperation, _ device: UUID) {
            tell.yield(.answered(device, operation, .failure(.other("the device's services have changed"))))
        }

        private func service(_ peripheral: CBPeripheral, _ index: Int) -> CBService? {
            peripheral.services.flatMap { $0.indices.contains(index) ? $0[index] : nil }
        }

        private func characteristic(_ peripheral: CBPeripheral, _ index: Int, _ place: Int) -> CBCharacteristic? {
            service(peripheral, index)?.characteristics.flatMap { $0.indices.contains(place) ? $0[place] : nil }
        }

        private func description(_ characteristic: CBCharacteristic) -> CBDescriptor? {
            characteristic.descriptors?.first { $0.uuid == CBUUID(string: CBUUIDCharacteristicUserDescriptionString) }
        }

        private func place(_ characteristic: CBCharacteristic) -> (Int, Int)? {
            guard let service = characteristic.service, let index = service.peripheral?.services?.firstIndex(of: service),
                let place = service.characteristics?.firstIndex(of: characteristic)
            else { return nil }
            return (index, place)
        }

        private func answered(_ peripheral: CBPeripheral, _ operation: GattOperation, _ error: (any Error)?, _ answer: () -> GattAnswer) {
            tell.yield(.answered(peripheral.identifier, operation, error.map { .failure(failure($0)) } ?? .success(answer())))
        }

        private func failure(_ error: any Error) -> GattFailure {
            let error = error as NSError
            if error.domain == CBATTErrorDomain, let code = UInt8(exactly: error.code) { return .att(code) }
            return .other("\(error.domain) \(error.code)")
        }
    }

    extension CoreBluetoothRadio: CBCentralManagerDelegate {
        func centralManagerDidUpdateState(_ central: CBCentralManager) {
            let state: RadioState =
                switch central.state {
                case .poweredOn: .on
                case .poweredOff: .off
                case .unsupported: .unsupported
                case .unauthorized: .unauthorized
                case .unknown, .resetting: .unknown
                @unknown default: .unknown
                }
            tell.yield(.state(state))
        }

        func centralManager(_ central: CBCentralManager, willRestoreState kept: [String: Any]) {
            let connected = kept[CBCentralManagerRestoredStatePeripheralsKey] as? [CBPeripheral] ?? []
            for peripheral in connected { peripherals[peripheral.identifier] = peripheral }
            tell.yield(.restored(connected.map(\.identifier)))
        }

        func centralManager(
            _ central: CBCentralManager, didDiscover peripheral: CBPeripheral, advertisementData: [String: Any], rssi: NSNumber
        ) {
            peripherals[peripheral.identifier] = peripheral
            let services = advertisementData[CBAdvertisementDataServiceUUIDsKey] as? [CBUUID] ?? []
            let data = advertisementData[CBAdvertisementDataServiceDataKey] as? [CBUUID: Data] ?? [:]
            // What is advertised now goes before what iOS remembers.
            let name = advertisementData[CBAdvertisementDataLocalNameKey] as? String ?? peripheral.name
            tell.yield(
                .heard(
                    Heard(
                        device: peripheral.identifier,
                        name: name,
                        // 127: not known (Bluetooth Core, Vol 4, Part E, 7.7.65.2).
                        rssi: rssi.intValue == 127 ? nil : rssi.intValue,
                        services: services.map(\.full),
                        serviceData: Dictionary(data.map { ($0.key.full, $0.value) }, uniquingKeysWith: { first, _ in first }))))
        }

        func centralManager(_ central: CBCentralManager, didConnect peripheral: CBPeripheral) {
            tell.yield(.connected(peripheral.identifier))
        }

        func centralManager(_ central: CBCentralManager, didFailToConnect peripheral: CBPeripheral, error: (any Error)?) {
            tell.yield(.connectFailed(peripheral.identifier))
        }

        func centralManager(_ central: CBCentralManager, didDisconnectPeripheral peripheral: CBPeripheral, error: (any Error)?) {
            writing[peripheral.identifier] = nil
            // CBError as Bluetooth's own numbers: time-out, the device, this phone.
            let status: Int32 =
                switch (error as? CBError)?.code {
                case .connectionTimeout: 8
                case .peripheralDisconnected: 19
                case nil: 22
                default: Int32(clamping: (error as NSError?)?.code ?? 0)
                }
            tell.yield(.disconnected(peripheral.identifier, status: status))
        }
    }

    extension CoreBluetoothRadio: CBPeripheralDelegate {
        func peripheral(_ peripheral: CBPeripheral, didDiscoverServices error: (any Error)?) {
            answered(peripheral, .services, error) { .services((peripheral.services ?? []).map(\.uuid.full)) }
        }

        func peripheral(_ peripheral: CBPeripheral, didDiscoverCharacteristicsFor service: CBService, error: (any Error)?) {
            guard let index = peripheral.services?.firstIndex(of: service) else { return }
            answered(peripheral, .characteristics(service: index), error) {
                .characteristics(
                    (service.characteristics ?? []).map {
                        FoundCharacteristic(
                            uuid: $0.uuid.full, readable: $0.properties.contains(.read), writable: $0.properties.contains(.write))
                    })
            }
        }

        func peripheral(_ peripheral: CBPeripheral, didDiscoverDescriptorsFor characteristic: CBCharacteristic, error: (any Error)?) {
            guard let (index, place) = place(characteristic) else { return }
            answered(peripheral, .descriptors(service: index, characteristic: place), error) {
                .descriptors(hasDescription: description(characteristic) != nil)
            }
        }

        func peripheral(_ peripheral: CBPeripheral, didUpdateValueFor descriptor: CBDescriptor, error: (any Error)?) {
            guard let characteristic = descriptor.characteristic, let (index, place) = place(characteristic) else { return }
            answered(peripheral, .describe(service: index, characteristic: place), error) {
                // iOS gives this descriptor's value as a text.
                .value((descriptor.value as? String).map { Data($0.utf8) } ?? descriptor.value as? Data ?? Data())
            }
        }

        func peripheral(_ peripheral: CBPeripheral, didUpdateValueFor characteristic: CBCharacteristic, error: (any Error)?) {
            guard let (index, place) = place(characteristic) else { return }
            answered(peripheral, .read(service: index, characteristic: place), error) { .value(characteristic.value ?? Data()) }
        }

        func peripheral(_ peripheral: CBPeripheral, didWriteValueFor characteristic: CBCharacteristic, error: (any Error)?) {
            guard let (index, place) = place(characteristic), let value = writing.removeValue(forKey: peripheral.identifier) else { return }
            answered(peripheral, .write(service: index, characteristic: place, value: value), error) { .done }
        }
    }

    extension CBUUID {
        /// With Bluetooth's base where it is short (Bluetooth Core, Vol 3, Part B, 2.5.1).
        fileprivate var full: UUID {
            let text = uuidString
            let whole =
                switch text.count {
                case 4: "0000\(text)-0000-1000-8000-00805F9B34FB"
                case 8: "\(text)-0000-1000-8000-00805F9B34FB"
                default: text
                }
            return UUID(uuidString: whole) ?? UUID(uuid: (0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0))
        }
    }
#endif
