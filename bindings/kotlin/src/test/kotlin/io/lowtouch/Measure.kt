package io.lowtouch

import java.nio.file.Path
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.async
import kotlinx.coroutines.awaitAll
import kotlinx.coroutines.coroutineScope
import kotlinx.coroutines.runBlocking
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.condition.EnabledIfSystemProperty
import org.junit.jupiter.api.io.TempDir

/** Figures for docs/benchmarks.md: `mvn test -Dtest=Measure -Dlowtouch.measure=true`. */
@EnabledIfSystemProperty(named = "lowtouch.measure", matches = "true")
class Measure {
    @Test
    fun `what an event costs, and the start of an installer`(@TempDir folder: Path) = World().use { world ->
        runBlocking(Dispatchers.Default) {
            val devices = List(PAIRINGS) { world.device() }
            val phone = Phone(world, folder, SimulatedRadio({ devices }))
            val installer = phone.signedIn()
            // The events of whole pairings, taken when all of them are there: what is left is the way through the bindings.
            val pairings = devices.chunked(20).flatMap { some ->
                coroutineScope {
                    some.map { async { installer.pair(PairingRequest(Label.parse(it.label), link = "ble://${it.name}")).also { it.outcome() } } }.awaitAll()
                }
            }
            val costs = mutableListOf<Long>()
            val together = mutableListOf<Long>()
            pairings.forEachIndexed { index, pairing ->
                // Half of them one by one, half as the Flow takes them.
                while (true) {
                    val begun = System.nanoTime()
                    val events = if (index % 2 == 0) listOfNotNull(pairing.nextEvent()) else pairing.nextEvents()
                    if (events.isEmpty()) break
                    val took = System.nanoTime() - begun
                    if (index % 2 == 0) costs += took else together += took / events.size
                }
                pairing.close()
            }
            println("nextEvent(): ${spread(costs.drop(costs.size / 2))} of ${costs.size / 2} (as many before them to warm up)")
            println("nextEvents(), each event: ${spread(together.drop(together.size / 2))} of ${together.size / 2} calls")
            installer.shutDown()
            installer.close()

            val starts = List(20) {
                val begun = System.nanoTime()
                val started = phone.installer()
                val made = System.nanoTime() - begun
                started.journal(1u)
                val answered = System.nanoTime() - begun
                started.shutDown()
                started.close()
                made to answered
            }
            println("Installer(): ${spread(starts.map { it.first })}; to the journal's first answer: ${spread(starts.map { it.second })}")
        }
    }

    private fun spread(nanos: List<Long>): String {
        val sorted = nanos.sorted()
        fun at(part: Double) = "%.1f".format(sorted[((sorted.size - 1) * part).toInt()] / 1000.0)
        return "median ${at(0.5)} µs, 95 % ${at(0.95)} µs, best ${at(0.0)} µs"
    }

    private companion object {
        const val PAIRINGS = 100
    }
}
