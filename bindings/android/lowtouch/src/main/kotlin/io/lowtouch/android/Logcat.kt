package io.lowtouch.android

import android.util.Log
import io.lowtouch.LogLevel
import io.lowtouch.LogRecord
import io.lowtouch.LogSink

/** Writes the core's log to Android's, under the tag `lowtouch`. The records hold no secrets. */
public class Logcat : LogSink {
    override suspend fun write(records: List<LogRecord>) {
        for (record in records) Log.println(priority(record.level), TAG, "${record.target}: ${record.message}")
    }

    private fun priority(level: LogLevel) = when (level) {
        LogLevel.ERROR -> Log.ERROR
        LogLevel.WARN -> Log.WARN
        LogLevel.INFO -> Log.INFO
        LogLevel.DEBUG -> Log.DEBUG
        LogLevel.TRACE -> Log.VERBOSE
    }

    private companion object {
        const val TAG = "lowtouch"
    }
}
