// swift-tools-version: 6.0
import PackageDescription

// The generated file is Swift 5 code; what is written on top of it is Swift 6.
#if os(Linux)
    // For tests: the library that cargo built, found by -Xlinker -L (`cargo xtask test swift`).
    let library: Target = .systemLibrary(name: "LowtouchBindingsFFI", path: "Generated/LowtouchBindingsFFI")
#else
    // Made by build-xcframework.sh.
    let library: Target = .binaryTarget(name: "LowtouchBindingsFFI", path: "LowtouchBindingsFFI.xcframework")
#endif

let package = Package(
    name: "Lowtouch",
    defaultLocalization: "en",
    platforms: [.iOS(.v16), .macOS(.v13)],
    products: [
        .library(name: "Lowtouch", targets: ["Lowtouch", "LowtouchBindings"]),
        .library(name: "PairingWords", targets: ["PairingWords"]),
        .library(name: "LowtouchSample", targets: ["LowtouchSample"]),
    ],
    targets: [
        library,
        .target(
            name: "LowtouchBindings",
            dependencies: ["LowtouchBindingsFFI"],
            path: "Generated/LowtouchBindings",
            swiftSettings: [.swiftLanguageMode(.v5)],
            // What the Rust library calls: a static library does not say so itself.
            linkerSettings: [
                .linkedFramework("CoreFoundation", .when(platforms: [.iOS, .macOS])),
                .linkedFramework("Security", .when(platforms: [.iOS, .macOS])),
                // Of a Mac alone: serial ports, its proxies, and btleplug.
                .linkedFramework("IOKit", .when(platforms: [.macOS])),
                .linkedFramework("SystemConfiguration", .when(platforms: [.macOS])),
                .linkedFramework("CoreBluetooth", .when(platforms: [.macOS])),
            ]
        ),
        .target(name: "Lowtouch", dependencies: ["LowtouchBindings"]),
        .target(name: "PairingWords", dependencies: ["Lowtouch"], resources: [.process("Resources")]),
        // The sample app below its screens, which are in Sample.
        .target(name: "LowtouchSample", dependencies: ["Lowtouch", "PairingWords"]),
        .testTarget(name: "LowtouchTests", dependencies: ["Lowtouch", "PairingWords", "LowtouchSample"]),
    ]
)
