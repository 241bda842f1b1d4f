package io.lowtouch

import java.nio.file.Path
import java.time.Duration
import java.util.concurrent.ConcurrentHashMap
import kotlinx.coroutines.flow.MutableStateFlow
import kotlinx.coroutines.flow.first

/** Secrets in memory, as a Keystore would keep them. */
class MemoryStore : SecretStore {
    val kept = ConcurrentHashMap<String, ByteArray>()

    override suspend fun get(name: String): ByteArray? = kept[name]

    override suspend fun set(name: String, `value`: ByteArray) {
        kept[name] = value
    }

    override suspend fun delete(name: String) {
        kept.remove(name)
    }
}

/** A network that tests switch on and off. */
class SwitchedNetwork : NetworkState {
    val standing = MutableStateFlow(NetworkStanding.ONLINE)

    override suspend fun next(known: NetworkStanding?): NetworkStanding = standing.first { it != known }
}

/** What a phone has: a folder, secrets, a network, a radio. */
class Phone(
    private val world: World,
    private val folder: Path,
    private val radio: BleCentral?,
    val secrets: SecretStore = MemoryStore(),
    val network: NetworkState = SwitchedNetwork(),
    private val log: LogSink? = null,
    private val exchangeDeadline: Duration? = null,
    private val connectDeadline: Duration? = null,
) {
    fun installer() = Installer(
        InstallerSettings(
            dataDir = folder.toString(),
            extraCaPem = world.caPem,
            exchangeDeadline = exchangeDeadline,
            connectDeadline = connectDeadline,
        ),
        secrets,
        network,
        radio,
        log,
    )

    /** With somebody signed in. */
    suspend fun signedIn(name: String = "Ines"): Installer = installer().also { installer ->
        Invite.parse(world.invite(name)).use { installer.signInWithInvite(it, null) }
    }
}
