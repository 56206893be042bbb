"""Chromium without a window, and a server of a directory on this machine alone, for tests of pages."""

import http.server
import json
import re
import shutil
import subprocess
import threading
from contextlib import contextmanager
from html import unescape

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@contextmanager
def served(place):
    """The address of a directory, and the paths that are asked for."""
    asked = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments):
            super().__init__(*arguments, directory=str(place))

        def log_message(self, form, *arguments):
            asked.append(self.path)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()


def browse(tmp_path, *arguments):
    """Run Chromium to its end; its process, with standard output and the console in standard error."""
    flags = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--enable-logging=stderr",
        f"--user-data-dir={tmp_path / 'profile'}",
    ]
    return subprocess.run(
        [BROWSER, *flags, *arguments], capture_output=True, text=True, timeout=120, check=True
    )


def look(address, page, tmp_path, harness="harness.html", flags=()):
    """Observations that a harness page leaves of another, and the lines of the console."""
    place = f"{address}/{harness}?{page}"
    done = browse(tmp_path, *flags, "--virtual-time-budget=20000", "--dump-dom", place)
    seen = re.search("SEEN(.*)END", done.stdout, re.DOTALL)
    assert seen, done.stdout + done.stderr
    return json.loads(unescape(seen[1])), re.findall(r"CONSOLE[^\]]*\] (.*)", done.stderr)
