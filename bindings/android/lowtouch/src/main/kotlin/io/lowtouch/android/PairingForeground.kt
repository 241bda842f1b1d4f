package io.lowtouch.android

import android.app.Notification
import android.app.Service
import android.content.Context
import android.content.Intent
import android.content.pm.ServiceInfo
import android.os.Build
import android.os.IBinder
import android.os.PowerManager
import kotlin.time.Duration.Companion.minutes

/**
 * Keeps a pairing going while the screen is off or another app is in front: a foreground service of the type `connectedDevice` with a
 * partial wake lock. Without it Android stops the app's processor within a minute of the screen's going off, and a device in the
 * middle of a hand-off waits for nobody.
 *
 * Call [begin] when a pairing starts (the app must be visible then, Android 12 and later) and [end] when it is over; they count. The wake lock
 * ends by itself after [LONGEST], the longest a pairing may take.
 */
public class PairingForeground : Service() {
    private var wakeLock: PowerManager.WakeLock? = null

    override fun onBind(intent: Intent?): IBinder? = null

    override fun onStartCommand(intent: Intent?, flags: Int, startId: Int): Int {
        val shown = synchronized(LOCK) { notification }
        if (shown == null) {
            stopSelf(startId)
            return START_NOT_STICKY
        }
        if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.Q) {
            startForeground(ID, shown, ServiceInfo.FOREGROUND_SERVICE_TYPE_CONNECTED_DEVICE)
        } else {
            startForeground(ID, shown)
        }
        if (wakeLock == null) {
            val power = getSystemService(Context.POWER_SERVICE) as PowerManager
            wakeLock = power.newWakeLock(PowerManager.PARTIAL_WAKE_LOCK, "lowtouch:pairing").apply {
                setReferenceCounted(false)
            }
        }
        wakeLock?.acquire(LONGEST.inWholeMilliseconds)
        // Over before Android came to start it.
        val over = synchronized(LOCK) {
            inFront = true
            running == 0
        }
        if (over) stopSelf(startId)
        // A pairing does not outlive its process; the journal finishes it at the next start.
        return START_NOT_STICKY
    }

    override fun onDestroy() {
        wakeLock?.takeIf { it.isHeld }?.release()
        wakeLock = null
    }

    public companion object {
        /** Find, connect, hand off and the longest wait for a hub, with a network step: see docs/exit-codes.md. */
        public val LONGEST: kotlin.time.Duration = 15.minutes

        private const val ID = 0x10707
        private val LOCK = Any()
        private var running = 0

        /** The last start has arrived. Android ends the app when a service is stopped between its start for the foreground and that. */
        private var inFront = false
        private var notification: Notification? = null

        /**
         * One more pairing runs.
         *
         * @param shown what the person sees meanwhile; on Android 13 and later only with `POST_NOTIFICATIONS`, the pairing goes on without.
         * @throws IllegalStateException when the app is not visible (Android 12 and later); it counts for nothing then.
         */
        public fun begin(context: Context, shown: Notification) {
            // With the lock held: the start arrives on the main thread, maybe before this one goes on.
            synchronized(LOCK) {
                context.startForegroundService(Intent(context, PairingForeground::class.java))
                running += 1
                inFront = false
                notification = shown
            }
        }

        /** One less. */
        public fun end(context: Context) {
            val over = synchronized(LOCK) {
                running = (running - 1).coerceAtLeast(0)
                running == 0 && inFront
            }
            if (over) context.stopService(Intent(context, PairingForeground::class.java))
        }
    }
}
