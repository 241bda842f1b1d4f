package io.lowtouch.sample.ui

import android.app.Application
import io.lowtouch.Installer
import io.lowtouch.InstallerSettings
import io.lowtouch.android.AndroidBle
import io.lowtouch.android.KeystoreSecrets
import io.lowtouch.android.Logcat
import io.lowtouch.android.PhoneNetwork
import io.lowtouch.android.Tls
import io.lowtouch.sample.App
import kotlinx.coroutines.MainScope

/** One installer for the process: a pairing goes on while the activity is turned or gone. */
class SampleApplication : Application() {
    lateinit var app: App
        private set

    override fun onCreate() {
        super.onCreate()
        Tls.initialize(this)
        val installer = Installer(
            InstallerSettings(dataDir = filesDir.resolve("lowtouch").path),
            KeystoreSecrets(this),
            PhoneNetwork(this),
            AndroidBle(this),
            Logcat(),
        )
        app = App(installer, MainScope()).apply { start() }
    }
}
