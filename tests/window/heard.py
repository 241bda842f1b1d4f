"""Prints what a screen reader gets of the app, as JSON: a list of {depth, role, name, focused}, in reading order.

Over AT-SPI, as Orca asks; Debian's own Python has its bindings (gir1.2-atspi-2.0).
"""

import json
import sys

import gi

gi.require_version("Atspi", "2.0")
from gi.repository import Atspi  # noqa: E402

# A page has a few hundred; more than that is a loop.
MOST = 5000


def walk(thing, depth, found):
    if thing is None or len(found) >= MOST:
        return
    try:
        states = thing.get_state_set()
        found.append({
            "depth": depth,
            "role": thing.get_role_name(),
            "name": thing.get_name() or "",
            "focused": states.contains(Atspi.StateType.FOCUSED),
        })
        for index in range(thing.get_child_count()):
            walk(thing.get_child_at_index(index), depth + 1, found)
    except gi.repository.GLib.Error:
        # It went away while it was asked.
        return


def main(wanted):
    desktop = Atspi.get_desktop(0)
    found = []
    for index in range(desktop.get_child_count()):
        app = desktop.get_child_at_index(index)
        if app is not None and app.get_name() == wanted:
            walk(app, 0, found)
    json.dump(found, sys.stdout)


main(sys.argv[1])
