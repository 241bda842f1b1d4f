package io.lowtouch

import java.io.File
import java.nio.file.Path
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.async
import kotlinx.coroutines.awaitAll
import kotlinx.coroutines.coroutineScope
import kotlinx.coroutines.flow.last
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.withTimeout
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.io.TempDir

/** Apart from the other tests: it counts threads and file descriptors of the whole process. */
class ManyTest {
    private fun nativeThreads() =
        File("/proc/self/task").listFiles().orEmpty()
            // One that has ended meanwhile has no name.
            .mapNotNull { runCatching { File(it, "comm").readText().trim() }.getOrNull() }
            .filter { it.startsWith("lowtouch") || it.startsWith("sqlx") }

    private fun descriptors() = File("/proc/self/fd").listFiles().orEmpty().size

    /** What ends by itself may need a moment; how long does not matter, only that it ends. */
    private fun eventually(what: () -> String?) {
        val until = System.nanoTime() + 30_000_000_000
        while (what() != null && System.nanoTime() < until) Thread.sleep(20)
        assertEquals(null, what())
    }

    @Test
    fun `a hundred pairings at once end well and leave nothing behind`(@TempDir folder: Path) = World().use { world ->
        // Whatever the JVM opens for itself once is open before it is counted.
        round(world, folder.resolve("first"), 1)
        eventually { nativeThreads().takeIf { it.isNotEmpty() }?.toString() }
        val before = descriptors()
        round(world, folder.resolve("many"), 100)
        eventually { nativeThreads().takeIf { it.isNotEmpty() }?.toString() }
        eventually { descriptors().takeIf { it > before + SLACK }?.let { "$it descriptors, $before before" } }
    }

    private fun round(world: World, folder: Path, count: Int) = runBlocking(Dispatchers.Default) {
        withTimeout(300_000) {
            val devices = List(count) { world.device() }
            val radio = SimulatedRadio({ devices })
            Phone(world, folder, radio).signedIn().use { installer ->
                val ends = coroutineScope {
                    devices.map { device ->
                        async {
                            Label.parse(device.label).use { label ->
                                val pairing = installer.pairing(PairingRequest(label, link = "ble://${device.name}"))
                                var end = pairing.last()
                                // A slow disk takes longer for a hundred journal entries than a step has; the error says what to do.
                                while (end is PairingEvent.Failed && end.failure.action == Action.RETRY) end = pairing.last()
                                end
                            }
                        }
                    }.awaitAll()
                }
                val failed = ends.filterNot { it is PairingEvent.Finished }
                assertTrue(failed.isEmpty(), "${failed.size} failed: ${failed.firstOrNull()}")
                for (device in devices) assertEquals(1, world.hubs(device).size)
                assertEquals(count, installer.journal(1000u).size)
                installer.shutDown()
            }
            assertEquals(emptySet<SimulatedConnection>(), radio.open)
            assertEquals(0, radio.scanning.get())
        }
    }

    private companion object {
        /** Of the JVM itself: a jar that is opened later, a selector of a new dispatcher thread. */
        const val SLACK = 4
    }
}
