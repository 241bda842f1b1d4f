package io.lowtouch.sample.ui

import android.Manifest
import android.app.Activity
import android.content.ClipData
import android.content.ClipboardManager
import android.content.Context
import android.content.Intent
import android.content.pm.PackageManager
import android.net.Uri
import android.os.Build
import android.os.Bundle
import android.provider.Settings
import android.view.View
import android.view.ViewGroup.LayoutParams.MATCH_PARENT
import android.view.ViewGroup.LayoutParams.WRAP_CONTENT
import android.widget.Button
import android.widget.LinearLayout
import android.widget.ScrollView
import android.widget.TextView
import android.widget.Toast
import io.lowtouch.android.BlePermissions
import io.lowtouch.android.PermissionAdvice
import io.lowtouch.sample.App
import io.lowtouch.sample.PairingScreen
import io.lowtouch.sample.Scanned
import io.lowtouch.sample.Words
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.MainScope
import kotlinx.coroutines.cancel
import kotlinx.coroutines.launch
import kotlinx.coroutines.withContext

/** Draws [App.page] with Android's own views, from code: Compose would look the same and cannot be compiled without Google's artifacts. */
class MainActivity : Activity() {
    private lateinit var scope: CoroutineScope
    private lateinit var app: App
    private lateinit var column: LinearLayout
    private var camera: QrCamera? = null

    override fun onCreate(savedInstanceState: Bundle?) {
        super.onCreate(savedInstanceState)
        app = (application as SampleApplication).app
        column = LinearLayout(this).apply {
            orientation = LinearLayout.VERTICAL
            val edge = dp(16)
            setPadding(edge, edge, edge, edge)
        }
        setContentView(ScrollView(this).apply { addView(column, MATCH_PARENT, WRAP_CONTENT) })
    }

    override fun onStart() {
        super.onStart()
        scope = MainScope()
        app.cameToFront()
        scope.launch { app.page.collect(::draw) }
    }

    override fun onStop() {
        stopCamera()
        scope.cancel()
        super.onStop()
    }

    private fun draw(page: App.Page) {
        stopCamera()
        column.removeAllViews()
        when (page) {
            is App.Page.SignIn -> {
                title(Words("phone_signIn_title"))
                text(page.failure?.let(Words::title) ?: Words("phone_signIn_text"))
                scanner()
            }
            is App.Page.Confirm -> {
                title(Words("phone_signIn_to", page.server))
                button(Words("phone_signIn_confirm")) { app.confirm() }.isEnabled = !page.isSent
            }
            is App.Page.Scan -> {
                title(Words("phone_scan_label"))
                text(page.failure?.let(Words::title) ?: Words("phone_scan_labelText"))
                scanner()
                button(Words("phone_history_title")) { app.history() }
            }
            is App.Page.Ask -> {
                title(Words("phone_pairing_title", page.label.name()))
                text(Words("phone_bluetooth_why"))
                location()
                button(Words("phone_bluetooth_allow")) { askForBluetooth() }
                button(Words("phone_pairing_cancel")) { app.start() }
            }
            is App.Page.Pairing -> pairing(page.screen)
            is App.Page.History -> {
                title(Words("phone_history_title"))
                page.failure?.let { text(Words.title(it)) }
                if (page.lines.isEmpty() && page.failure == null) text(Words("phone_history_empty"))
                page.lines.forEach { plain("${it.device}: ${say(it.state)}${it.hub?.let { hub -> " ($hub)" }.orEmpty()}") }
                button(Words("phone_scan_label")) { app.start() }
            }
        }
    }

    private fun pairing(screen: PairingScreen) {
        title(screen.title)
        screen.text?.let(::text)
        for (line in screen.lines) {
            val mark = when (line.state) {
                PairingScreen.State.RUNNING -> "…"
                PairingScreen.State.DONE -> "✓"
                PairingScreen.State.FAILED -> "✗"
            }
            plain("$mark ${say(line.words)}${line.detail?.let { "\n    ${say(it)}" }.orEmpty()}").apply {
                // A screen reader hears each step as it happens.
                accessibilityLiveRegion = View.ACCESSIBILITY_LIVE_REGION_POLITE
            }
        }
        screen.warnings.forEach(::text)
        if (screen.button == PairingScreen.Button.ALLOW) location()
        button(screen.buttonWords) {
            when (app.press(screen.button)) {
                PairingScreen.Button.ALLOW -> askForBluetooth()
                PairingScreen.Button.COPY_DETAILS -> copy(screen.details.orEmpty())
                else -> {}
            }
        }
    }

    // --- camera and permissions ---

    private fun scanner() {
        val needed = listOf(Manifest.permission.CAMERA)
        if (checkSelfPermission(Manifest.permission.CAMERA) != PackageManager.PERMISSION_GRANTED) {
            if (mayAsk(needed)) {
                text(Words("phone_camera_why"))
                button(Words("phone_scan_label")) { ask(needed) }
            } else {
                text(Words("phone_scan_noCamera"))
                button(Words("phone_bluetooth_settings")) { openSettings() }
            }
            return
        }
        val preview = QrCamera(this) { picture ->
            scope.launch {
                val scanned = withContext(Dispatchers.Default) { Scanned.inPicture(picture) }
                app.scanned(scanned)
            }
        }
        camera = preview
        column.addView(preview, MATCH_PARENT, dp(320))
    }

    private fun stopCamera() {
        camera?.stop()
        camera = null
    }

    /** Said before it is asked for. */
    private fun location() {
        if (BlePermissions.scansNeedLocation()) text(Words("phone_bluetooth_location"))
    }

    private fun askForBluetooth() {
        val missing = BlePermissions.missing(this)
        when (val advice = BlePermissions.advice(missing, mayAsk(missing))) {
            PermissionAdvice.Nothing -> app.answered()
            is PermissionAdvice.Ask -> ask(advice.permissions + notifications())
            is PermissionAdvice.ExplainLocation -> ask(advice.permissions)
            is PermissionAdvice.OpenSettings -> openSettings()
        }
    }

    private fun notifications() =
        if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.TIRAMISU) listOf(Manifest.permission.POST_NOTIFICATIONS) else emptyList()

    private val asked = mutableSetOf<String>()

    /** Android says "do not explain" before the first question too; only after one does it mean "not any more". */
    private fun mayAsk(permissions: List<String>) = permissions.none(asked::contains) || permissions.any(::shouldShowRequestPermissionRationale)

    private fun ask(permissions: List<String>) {
        asked += permissions
        requestPermissions(permissions.toTypedArray(), ASKED)
    }

    private fun openSettings() =
        startActivity(Intent(Settings.ACTION_APPLICATION_DETAILS_SETTINGS, Uri.fromParts("package", packageName, null)))

    override fun onRequestPermissionsResult(requestCode: Int, permissions: Array<out String>, grantResults: IntArray) {
        if (requestCode != ASKED) return
        app.answered()
        draw(app.page.value)
    }

    private fun copy(details: String) {
        val clipboard = getSystemService(Context.CLIPBOARD_SERVICE) as ClipboardManager
        clipboard.setPrimaryClip(ClipData.newPlainText("lowtouch", details))
        Toast.makeText(this, say(Words("phone_pairing_copied")), Toast.LENGTH_SHORT).show()
    }

    // --- words and views ---

    private fun title(words: Words) = plain(say(words)).apply { textSize = 28f }

    private fun text(words: Words) {
        plain(say(words))
    }

    private fun plain(text: String) = TextView(this).also {
        it.text = text
        it.textSize = 16f
        column.addView(it, MATCH_PARENT, WRAP_CONTENT)
    }

    private fun button(words: Words, press: () -> Unit) = Button(this).apply {
        text = say(words)
        minHeight = dp(48)
        setOnClickListener { press() }
        column.addView(this, MATCH_PARENT, WRAP_CONTENT)
    }

    private fun dp(points: Int) = (points * resources.displayMetrics.density).toInt()

    private companion object {
        const val ASKED = 1
    }
}

/** In the person's language. */
internal fun Context.say(words: Words): String {
    val values = words.values.toTypedArray()
    val kind = if (words.count == null) "string" else "plurals"
    // By name: what is said is decided where no resources are. res/raw/keep.xml keeps them from being taken for unused.
    val id = resources.getIdentifier(words.key, kind, packageName)
    if (id == 0) return words.key
    val count = words.count
    return if (count == null) resources.getString(id, *values) else resources.getQuantityString(id, count, *values)
}
