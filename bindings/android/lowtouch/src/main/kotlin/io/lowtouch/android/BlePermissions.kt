package io.lowtouch.android

import android.Manifest
import android.content.Context
import android.content.pm.PackageManager
import android.os.Build

/**
 * What the person must allow before Bluetooth can be used, from Android 8 (API 26) to 15 (API 35). Ask for [needed] with
 * `requestPermissions` when the person presses "Pair", never at the app's start.
 *
 * | Android | API | to scan | to connect |
 * | --- | --- | --- | --- |
 * | 8 to 9 | 26–28 | `ACCESS_COARSE_LOCATION` or fine, and location switched on | nothing |
 * | 10 to 11 | 29–30 | `ACCESS_FINE_LOCATION`, and location switched on | nothing |
 * | 12 to 15 | 31–35 | `BLUETOOTH_SCAN` (declared `neverForLocation`) | `BLUETOOTH_CONNECT` |
 */
public object BlePermissions {
    /** What scanning needs on this Android. */
    public fun forScanning(sdk: Int = Build.VERSION.SDK_INT): List<String> = when {
        sdk >= Build.VERSION_CODES.S -> listOf(Manifest.permission.BLUETOOTH_SCAN)
        // A fine grant covers the coarse one, and the same manifest serves both.
        else -> listOf(Manifest.permission.ACCESS_FINE_LOCATION)
    }

    /** What connecting needs on this Android. */
    public fun forConnecting(sdk: Int = Build.VERSION.SDK_INT): List<String> = when {
        sdk >= Build.VERSION_CODES.S -> listOf(Manifest.permission.BLUETOOTH_CONNECT)
        else -> emptyList()
    }

    /** All that a pairing needs, in one question to the person. */
    public fun needed(sdk: Int = Build.VERSION.SDK_INT): List<String> = forScanning(sdk) + forConnecting(sdk)

    /** Those of `of` that the person has not given. */
    public fun missing(context: Context, of: List<String> = needed()): List<String> = of.filterNot { isGranted(context, it) }

    /** Up to Android 11 a scan hears nothing while location is switched off, whatever was allowed. */
    public fun scansNeedLocation(sdk: Int = Build.VERSION.SDK_INT): Boolean = sdk < Build.VERSION_CODES.S

    /** What to tell the person about a permission that is missing. */
    public fun advice(missing: List<String>, mayAskAgain: Boolean): PermissionAdvice = when {
        missing.isEmpty() -> PermissionAdvice.Nothing
        // Android shows its question no more after the second "Don't allow".
        !mayAskAgain -> PermissionAdvice.OpenSettings(missing)
        Manifest.permission.ACCESS_FINE_LOCATION in missing -> PermissionAdvice.ExplainLocation(missing)
        else -> PermissionAdvice.Ask(missing)
    }

    internal fun isGranted(context: Context, permission: String, sdk: Int = Build.VERSION.SDK_INT): Boolean {
        if (context.checkSelfPermission(permission) == PackageManager.PERMISSION_GRANTED) return true
        // Up to Android 9 the coarse one is enough.
        return permission == Manifest.permission.ACCESS_FINE_LOCATION && sdk < Build.VERSION_CODES.Q &&
            context.checkSelfPermission(Manifest.permission.ACCESS_COARSE_LOCATION) == PackageManager.PERMISSION_GRANTED
    }
}

/** The next thing to do about permissions. */
public sealed interface PermissionAdvice {
    /** All is allowed. */
    public data object Nothing : PermissionAdvice

    /** Ask with `requestPermissions`. */
    public data class Ask(val permissions: List<String>) : PermissionAdvice

    /** Say first why location is asked for (Android 11 and older count a scan as location; none is used), then ask. */
    public data class ExplainLocation(val permissions: List<String>) : PermissionAdvice

    /** Only the app's page in the system's settings can give it now (`Settings.ACTION_APPLICATION_DETAILS_SETTINGS`). */
    public data class OpenSettings(val permissions: List<String>) : PermissionAdvice
}
