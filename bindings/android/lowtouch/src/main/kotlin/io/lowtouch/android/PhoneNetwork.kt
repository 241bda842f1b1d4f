package io.lowtouch.android

import android.content.Context
import android.net.ConnectivityManager
import android.net.Network
import android.net.NetworkCapabilities
import io.lowtouch.NetworkStanding
import io.lowtouch.NetworkState
import io.lowtouch.NetworkStateException
import kotlinx.coroutines.CancellationException
import kotlinx.coroutines.channels.awaitClose
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.callbackFlow
import kotlinx.coroutines.flow.conflate
import kotlinx.coroutines.flow.first

/**
 * Whether the phone has a network, by [ConnectivityManager]; needs `ACCESS_NETWORK_STATE`, which nobody is asked for. Whether the internet
 * is behind it shows only when a call is made: a company's Wi-Fi with nothing but the provisioning API in it is online too, so
 * `NET_CAPABILITY_VALIDATED` is not looked at.
 */
public class PhoneNetwork(context: Context) : NetworkState {
    private val connectivity =
        context.applicationContext.getSystemService(Context.CONNECTIVITY_SERVICE) as ConnectivityManager

    override suspend fun next(known: NetworkStanding?): NetworkStanding = try {
        standings().first { it != known }
    } catch (cancelled: CancellationException) {
        throw cancelled
    } catch (_: SecurityException) {
        throw NetworkStateException.Failed("ACCESS_NETWORK_STATE is not in the manifest")
    } catch (failure: RuntimeException) {
        // TooManyRequestsException: an app has 100 callbacks.
        throw NetworkStateException.Failed(failure.javaClass.simpleName)
    }

    private fun standings(): Flow<NetworkStanding> = callbackFlow {
        trySend(now())
        val callback = object : ConnectivityManager.NetworkCallback() {
            override fun onAvailable(network: Network) {
                trySend(NetworkStanding.ONLINE)
            }

            override fun onLost(network: Network) {
                trySend(now())
            }
        }
        connectivity.registerDefaultNetworkCallback(callback)
        // What changed between the look and the registration.
        trySend(now())
        awaitClose { connectivity.unregisterNetworkCallback(callback) }
    }.conflate()

    private fun now(): NetworkStanding {
        val network = connectivity.activeNetwork ?: return NetworkStanding.OFFLINE
        val can = connectivity.getNetworkCapabilities(network) ?: return NetworkStanding.OFFLINE
        return if (can.hasCapability(NetworkCapabilities.NET_CAPABILITY_INTERNET)) NetworkStanding.ONLINE else NetworkStanding.OFFLINE
    }
}
