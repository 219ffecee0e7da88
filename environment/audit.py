"""List what is installed (an SBOM), and ask whether anything in it is known to be vulnerable.

    python environment/audit.py build/sbom.json

The list is CycloneDX 1.6, JSON, of the environment of this Python. Known vulnerabilities are asked of a service on the
network, by pip-audit. Where that knows hardly a package, as behind a mirror that has no such service, nothing was
audited, and this says so: no news is not good news.

Ends with 0 where nothing is known, 1 where something is, 3 where it could not be asked.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

KNOWN_VULNERABLE, NOT_ASKED = 1, 3
MOST_UNKNOWN = 0.1
"""Share of the packages that the service may not know: our own, and those that are built here."""


def write_list(path: Path) -> int:
    """Write the list, and return how many packages it holds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    command = ["-m", "cyclonedx_py", "environment", "--of", "JSON", "-o", str(path), sys.executable]
    subprocess.run([sys.executable, *command], check=True)
    return len(json.loads(path.read_text(encoding="utf-8"))["components"])


def ask() -> list[dict[str, Any]] | None:
    """What pip-audit tells of each package; None where it tells nothing."""
    command = ["-m", "pip_audit", "--local", "--skip-editable", "--format", "json", "--progress-spinner", "off"]
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False)
    try:
        packages: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError, TypeError):
        print("\n".join(done.stderr.strip().splitlines()[-1:]), file=sys.stderr)
        return None
    return packages


def verdict(packages: list[dict[str, Any]] | None) -> tuple[int, str]:
    """The status to end with, and why in words."""
    unknown = [one for one in packages or () if "skip_reason" in one]
    if not packages or len(unknown) > MOST_UNKNOWN * len(packages):
        asked = (
            f"of {len(unknown):,} of {len(packages):,} packages it knows nothing" if packages else "it did not answer"
        )
        return NOT_ASKED, f"NOT AUDITED: the service of known vulnerabilities cannot be asked from here ({asked})"
    found = [f"{one['name']} {one['version']}: {fault['id']}" for one in packages for fault in one.get("vulns", ())]
    named = "".join(f"\n    {line}" for line in found)
    if found:
        return KNOWN_VULNERABLE, f"{len(found)} known vulnerabilities in {len(packages):,} packages:{named}"
    left = f", {len(unknown)} of them not asked about" if unknown else ""
    return 0, f"no known vulnerability in {len(packages):,} packages{left}"


def main() -> int:
    """The command line."""
    path = Path(sys.argv[1] if len(sys.argv) > 1 else "build/sbom.json")
    print(f"{path}: {write_list(path)} packages")
    status, words = verdict(ask())
    print(words)
    return status


if __name__ == "__main__":
    raise SystemExit(main())
