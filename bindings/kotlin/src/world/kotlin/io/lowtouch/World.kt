package io.lowtouch

import java.io.Closeable
import java.io.File
import org.json.JSONObject

/** The process `lowtouch-world`: a real provisioning API, emulated DPS instances and simulated devices. */
class World : Closeable {
    private val process = ProcessBuilder(File(System.getProperty("lowtouch.target"), "lowtouch-world").path)
        .redirectError(ProcessBuilder.Redirect.INHERIT)
        .start()
    private val said = process.inputStream.bufferedReader()
    private val asked = process.outputStream.bufferedWriter()
    private val ready = answer()

    /** `https://127.0.0.1:PORT`. */
    val api: String = ready.getString("api")
    val caPem: String = ready.getString("caPem")

    private fun answer() = JSONObject(said.readLine() ?: error("lowtouch-world ended"))

    @Synchronized
    private fun ask(key: String, value: Any): JSONObject {
        asked.write(JSONObject().put(key, value).toString())
        asked.newLine()
        asked.flush()
        return answer()
    }

    fun invite(name: String): String = ask("invite", name).getString("invite")

    fun device(): Device {
        val made = ask("device", JSONObject())
        return Device(made.getString("label"), made.getString("address"), made.getString("registrationId"))
    }

    fun hubs(device: Device): List<String> =
        ask("hub", device.registrationId).getJSONArray("hubs").let { hubs -> List(hubs.length(), hubs::getString) }

    override fun close() {
        asked.close()
        process.waitFor()
    }
}

/** `address` is `ble-sim://IP:PORT`. */
class Device(val label: String, val address: String, val registrationId: String) {
    val name: String = JSONObject(label).getString("name")
    val port: Int = address.substringAfterLast(':').substringBefore('?').toInt()
}
