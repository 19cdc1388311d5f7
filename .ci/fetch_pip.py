"""Put pip into the environment of the Python that runs this, when its own parts are missing.

Debian splits `ensurepip` off into a package that a plain user cannot install. This reads the file
list of an index (`PIP_INDEX_URL`, else the public one), and accepts exactly one file: the one whose
SHA-256 is below.
"""

import hashlib
import html
import os
import re
import ssl
import subprocess
import sys
import tempfile
import urllib.parse
import urllib.request
from pathlib import Path

NAME = "pip-26.3-py3-none-any.whl"
SHA256 = "f3b60b20ffaadd4415ed7957212a38ac63fa4c5fa375bd0f4a797777940fad13"
LINK = re.compile(rf'href="([^"]+)"[^>]*>\s*{re.escape(NAME)}\s*<')
TIMEOUT_S = 60


def main() -> int:
    """Fetch, verify, and let the fetched pip install itself; say what went wrong otherwise."""
    index = os.environ.get("PIP_INDEX_URL", "https://pypi.org/simple").rstrip("/")
    try:
        wheel = _fetch(f"{index}/pip/")
    except (OSError, ValueError) as fault:
        print(f"pip could not be fetched from {index}: {fault}", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / NAME
        path.write_bytes(wheel)
        install = [f"{path}/pip", "install", "--quiet", "--no-index", "--no-deps", str(path)]
        return subprocess.run([sys.executable, *install], check=False).returncode


def _fetch(listing: str) -> bytes:
    found = LINK.search(_get(listing).decode())
    if found is None:
        message = f"{NAME} is not listed"
        raise ValueError(message)
    content = _get(urllib.parse.urljoin(listing, html.unescape(found[1])))
    if hashlib.sha256(content).hexdigest() != SHA256:
        message = f"{NAME} is not the file that was expected"
        raise ValueError(message)
    return content


def _get(address: str) -> bytes:
    trusted = ssl.create_default_context(cafile=os.environ.get("PIP_CERT"))
    with urllib.request.urlopen(address, timeout=TIMEOUT_S, context=trusted) as reply:
        body: bytes = reply.read()
    return body


if __name__ == "__main__":
    sys.exit(main())
