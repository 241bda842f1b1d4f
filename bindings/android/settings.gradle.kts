// Builds the library and the sample app with Google's tools; `pom.xml` beside this file compiles and tests the same sources without.
pluginManagement {
    repositories {
        google()
        mavenCentral()
        gradlePluginPortal()
    }
}

dependencyResolutionManagement {
    repositoriesMode.set(RepositoriesMode.FAIL_ON_PROJECT_REPOS)
    repositories {
        google()
        mavenCentral()
        // The Kotlin half of rustls-platform-verifier. Where it is published, its README says under "Gradle Setup"; name that place, or a copy
        // of it, in ~/.gradle/gradle.properties.
        maven {
            url = uri(providers.gradleProperty("rustlsPlatformVerifierRepository").get())
            content { includeGroup("org.rustls") }
        }
    }
}

rootProject.name = "lowtouch-android"
include(":lowtouch", ":sample")
