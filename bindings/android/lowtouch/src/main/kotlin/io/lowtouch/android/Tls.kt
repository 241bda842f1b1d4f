package io.lowtouch.android

import android.content.Context

/**
 * Lets the core check servers' certificates with the phone's own roots, the ones a company added included. Call [initialize] once, in
 * `Application.onCreate`, before an `Installer` is made: without it every call to the provisioning API fails.
 */
public object Tls {
    init {
        System.loadLibrary("lowtouch_bindings")
    }

    /** Idempotent. */
    @JvmStatic
    public external fun initialize(context: Context)
}
