"""A real browser without a screen: a page is opened, a script runs in it, and what it returns comes back."""

import html
import json
import re
import shutil
import subprocess

import pytest

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
needs_browser = pytest.mark.skipif(BROWSER is None, reason="there is no Chromium (Debian's package: chromium)")
_QUIET = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--enable-logging=stderr", "--virtual-time-budget=2000",
)  # fmt: skip


def run(page, script, folder, width=1200, dark=False):
    """The value of the function body ``script`` in the page, and what the browser has complained of."""
    wrapped = (
        "<pre id='result'></pre><script>{const run = () => {" + script + "};"
        "document.getElementById('result').textContent = JSON.stringify(run());}</script>"
    )
    path = folder / "page.html"
    path.write_text(page.replace("</body>", wrapped + "</body>"), "utf-8")
    options = [f"--window-size={width},900", f"--user-data-dir={folder / 'profile'}", "--dump-dom"]
    if dark:
        options.append("--blink-settings=preferredColorScheme=0")
    done = subprocess.run([BROWSER, *_QUIET, *options, path.as_uri()], capture_output=True, text=True, timeout=60)
    result = re.search(r'<pre id="result">(.*?)</pre>', done.stdout, re.DOTALL)
    complaints = [line for line in done.stderr.splitlines() if ":CONSOLE" in line]
    assert result is not None, done.stderr[-2000:]
    assert result[1], complaints
    return json.loads(html.unescape(result[1])), complaints
