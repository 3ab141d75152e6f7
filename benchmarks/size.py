"""How large the package is, now or at a commit: lines and bytes of what git tracks under ``adapter/``.

::

    python -m benchmarks.size                 # as it is now
    python -m benchmarks.size 0158730 HEAD    # two commits, and how much the second is smaller
"""

from __future__ import annotations

import subprocess
import sys


def git(*words: str) -> bytes:
    """Return what git prints."""
    return subprocess.run(["git", *words], check=True, capture_output=True).stdout


def size(commit: str | None) -> tuple[dict[str, int], int, int]:
    """Return bytes by package, and all lines and bytes; ``None`` for *commit* is the working tree."""
    listing = ["ls-files", "adapter"] if commit is None else ["ls-tree", "-r", "--name-only", commit, "adapter"]
    packages: dict[str, int] = {}
    lines = 0
    for name in git(*listing).decode().splitlines():
        if commit is None:
            with open(name, "rb") as file:  # noqa: PTH123 (a path of git's)
                content = file.read()
        else:
            content = git("show", f"{commit}:{name}")
        package = name.split("/")[1] if name.count("/") > 1 else "."
        packages[package] = packages.get(package, 0) + len(content)
        lines += content.count(b"\n")
    return packages, lines, sum(packages.values())


def main(commits: list[str]) -> None:
    """Print each size, and the difference of the last two."""
    sizes = []
    for commit in commits or [None]:
        packages, lines, total = size(commit)
        sizes.append(total)
        shown = ", ".join(f"{name} {count}" for name, count in sorted(packages.items()))
        print(f"{commit or 'now'}: {lines} lines, {total} bytes ({shown})")  # noqa: T201 (what it is for)
    if len(sizes) > 1:
        print(f"{100 * (sizes[-1] - sizes[-2]) / sizes[-2]:+.1f} % bytes")  # noqa: T201 (what it is for)


if __name__ == "__main__":
    main(sys.argv[1:])
