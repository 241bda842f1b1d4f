// The core's table of commands, then this program's own. Read by build.rs and by commands.rs, which are one program each;
// a test holds it against the core's.
commands! {
    calls: about label_read label_read_picture label_from_code
        pairing_start pairings pairing_cancel wifi_networks device_info
        journal journal_entry journal_tell orders order order_download
        accounts account_use account_sign_out account_remove invite_read invite_read_picture
        settings setting_set setting_unset doctor logs_bundle demo_stop;
    streams: standing nearby pairing_watch sign_in demo_start;
    own: stream_stop window_events window_language save_file;
}
