plugins {
    id("com.android.library")
    id("org.jetbrains.kotlin.android")
    id("org.jetbrains.dokka")
    `maven-publish`
}

group = "io.lowtouch"
version = "0.1.0"

// What UniFFI generates and what is written on top of it for every JVM.
val bindings = rootProject.file("../kotlin")
val verifier = checkNotNull(
    Regex("name = \"rustls-platform-verifier-android\"\nversion = \"([^\"]+)\"").find(rootProject.file("../../Cargo.lock").readText()),
) { "Cargo.lock names no rustls-platform-verifier-android" }.groupValues[1]

android {
    namespace = "io.lowtouch.android"
    compileSdk = 35

    defaultConfig {
        minSdk = 26
        consumerProguardFiles("consumer-rules.pro")
    }

    sourceSets["main"].kotlin.srcDirs("src/main/kotlin", bindings.resolve("src/main/kotlin"), bindings.resolve("target/generated-sources/uniffi"))
    // build-native.sh puts liblowtouch_bindings.so there, an ABI a folder.
    sourceSets["main"].jniLibs.srcDir("build/jniLibs")

    compileOptions {
        sourceCompatibility = JavaVersion.VERSION_17
        targetCompatibility = JavaVersion.VERSION_17
    }

    publishing {
        singleVariant("release") {
            withSourcesJar()
            withJavadocJar()
        }
    }
}

kotlin {
    explicitApiWarning()
}

dependencies {
    api("org.jetbrains.kotlinx:kotlinx-coroutines-core:1.10.2")
    // The @aar brings JNA's own libraries for every ABI.
    api("net.java.dev.jna:jna:5.18.1@aar")
    // The version must be that of the Rust half.
    implementation("org.rustls:rustls-platform-verifier:$verifier")
}

publishing {
    publications {
        register<MavenPublication>("release") {
            artifactId = "lowtouch-android"
            afterEvaluate { from(components["release"]) }
        }
    }
}
