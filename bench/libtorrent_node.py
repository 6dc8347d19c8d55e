#!/usr/bin/python3
"""A BitTorrent client around libtorrent, for the swarm benches: downloads, prints `done`, seeds.

usage: libtorrent_node.py TORRENT FOLDER [SETTING=NUMBER ...]

Discovery that the lab has nothing for is off; everything else is libtorrent's default.
"""
import sys

import libtorrent

torrent, folder, *changes = sys.argv[1:]
settings = {
    "listen_interfaces": "0.0.0.0:6881",
    "alert_mask": libtorrent.alert.category_t.status_notification,
    "enable_dht": False, "enable_lsd": False, "enable_upnp": False, "enable_natpmp": False,
}
for change in changes:
    name, _, number = change.partition("=")
    settings[name] = int(number)
session = libtorrent.session(settings)
task = libtorrent.add_torrent_params()
task.ti, task.save_path = libtorrent.torrent_info(torrent), folder
handle = session.add_torrent(task)
while True:
    session.wait_for_alert(60_000)
    for alert in session.pop_alerts():
        if isinstance(alert, libtorrent.torrent_finished_alert):
            handle.flush_cache()
        elif isinstance(alert, libtorrent.cache_flushed_alert):
            print("done", flush=True)
