package io.lowtouch.sample.ui

import android.app.Application
import android.app.Notification
import android.app.NotificationChannel
import android.app.NotificationManager
import android.app.PendingIntent
import android.content.Intent
import io.lowtouch.Installer
import io.lowtouch.InstallerSettings
import io.lowtouch.android.AndroidBle
import io.lowtouch.android.BlePermissions
import io.lowtouch.android.KeystoreSecrets
import io.lowtouch.android.Logcat
import io.lowtouch.android.PairingForeground
import io.lowtouch.android.PhoneNetwork
import io.lowtouch.android.Tls
import io.lowtouch.sample.App
import io.lowtouch.sample.Words
import kotlinx.coroutines.MainScope
import kotlinx.coroutines.flow.distinctUntilChanged
import kotlinx.coroutines.flow.map
import kotlinx.coroutines.launch

/** One installer for the process: a pairing goes on while the activity is turned or gone. */
class SampleApplication : Application() {
    private val scope = MainScope()
    lateinit var app: App
        private set

    override fun onCreate() {
        super.onCreate()
        Tls.initialize(this)
        app = App(scope, { BlePermissions.missing(this).isEmpty() }) {
            Installer(
                InstallerSettings(dataDir = filesDir.resolve("lowtouch").path),
                KeystoreSecrets(this),
                PhoneNetwork(this),
                AndroidBle(this),
                Logcat(),
            )
        }
        app.start()
        scope.launch { keepPairingsGoing() }
    }

    /** Also while the screen is off or another app is in front. */
    private suspend fun keepPairingsGoing() {
        app.page.map { it is App.Page.Pairing && it.screen.end == null }.distinctUntilChanged().collect { runs ->
            try {
                if (runs) PairingForeground.begin(this, notification()) else PairingForeground.end(this)
            } catch (_: IllegalStateException) {
                // The person has left the app meanwhile: the pairing goes on as long as Android lets it.
            }
        }
    }

    private fun notification(): Notification {
        val said = say(Words.counted("phone_pairing_runs", 1u))
        val channel = NotificationChannel(CHANNEL, getString(applicationInfo.labelRes), NotificationManager.IMPORTANCE_LOW)
        (getSystemService(NOTIFICATION_SERVICE) as NotificationManager).createNotificationChannel(channel)
        val open = PendingIntent.getActivity(this, 0, Intent(this, MainActivity::class.java), PendingIntent.FLAG_IMMUTABLE)
        return Notification.Builder(this, CHANNEL)
            .setSmallIcon(android.R.drawable.stat_sys_data_bluetooth)
            .setContentTitle(said)
            .setContentIntent(open)
            .setOngoing(true)
            .build()
    }

    private companion object {
        const val CHANNEL = "pairing"
    }
}
