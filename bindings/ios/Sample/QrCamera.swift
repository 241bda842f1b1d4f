@preconcurrency import AVFoundation
import SwiftUI

/// The back camera; iOS itself finds the QR codes in it.
struct QrCamera: UIViewControllerRepresentable {
    let onText: (String) -> Void

    /// The person said no, or a company's profile did.
    static var isRefused: Bool { [.denied, .restricted].contains(AVCaptureDevice.authorizationStatus(for: .video)) }

    func makeUIViewController(context: Context) -> Controller { Controller(onText: onText) }
    func updateUIViewController(_ controller: Controller, context: Context) {}

    final class Controller: UIViewController, @preconcurrency AVCaptureMetadataOutputObjectsDelegate {
        private let session = AVCaptureSession()
        private let onText: (String) -> Void
        private var told = ""

        init(onText: @escaping (String) -> Void) {
            self.onText = onText
            super.init(nibName: nil, bundle: nil)
        }

        required init?(coder: NSCoder) { nil }

        override func viewDidLoad() {
            super.viewDidLoad()
            guard let camera = AVCaptureDevice.default(for: .video), let input = try? AVCaptureDeviceInput(device: camera),
                session.canAddInput(input)
            else { return }
            session.addInput(input)
            let output = AVCaptureMetadataOutput()
            session.addOutput(output)
            output.setMetadataObjectsDelegate(self, queue: .main)
            output.metadataObjectTypes = [.qr]
            let preview = AVCaptureVideoPreviewLayer(session: session)
            preview.frame = view.bounds
            preview.videoGravity = .resizeAspectFill
            view.layer.addSublayer(preview)
        }

        override func viewWillAppear(_ animated: Bool) {
            super.viewWillAppear(animated)
            // Blocks for a moment.
            DispatchQueue.global().async { [session] in session.startRunning() }
        }

        override func viewDidDisappear(_ animated: Bool) {
            session.stopRunning()
            super.viewDidDisappear(animated)
        }

        func metadataOutput(_ output: AVCaptureMetadataOutput, didOutput found: [AVMetadataObject], from connection: AVCaptureConnection) {
            guard let text = (found.first as? AVMetadataMachineReadableCodeObject)?.stringValue, text != told else { return }
            told = text
            onText(text)
        }
    }
}
