#!/usr/bin/env python3
"""Write a task file over real files of this machine: three tools for every three files, and one task that fails.

usage: make-tasks.py TASKS.yaml [NUMBER_OF_FILES]
Beside it, files.txt gets a line for each file: its name in the tasks, and its path.
"""

import json
import os
import sys
from pathlib import Path

SMALLEST, LARGEST = 1, 64 * 1024  # bytes
GROUP = 3


def candidates():
    """Regular files of readable size, in the order of their paths."""
    roots = [Path("/usr/share"), *sorted(Path("/usr/lib").glob("python3*"))]
    for root in roots:
        for folder, folders, names in os.walk(root):
            folders[:] = sorted(set(folders) - {"__pycache__"})  # what Python writes there changes while we look
            for name in sorted(names):
                path = Path(folder, name)
                is_plain = name.isprintable() and path.is_file() and not path.is_symlink() and os.access(path, os.R_OK)
                if is_plain and SMALLEST <= path.stat().st_size <= LARGEST:
                    yield path


def chosen(number):
    """Spread over all candidates, so that there are texts, images and programs among them."""
    paths = list(candidates())
    if len(paths) < number:
        sys.exit(f"make-tasks.py: this machine has only {len(paths)} such files")
    return {f"{n:04d}-{path.name}": str(path) for n, path in enumerate(paths[:: len(paths) // number][:number], 1)}


def tasks(files):
    """One task a line; JSON is YAML too."""
    names = list(files)
    for start in range(0, len(names), GROUP):
        group = names[start : start + GROUP]
        name = f"group-{start // GROUP + 1:04d}"
        inputs = [{"path": files[each], "to": each} for each in group]
        yield {
            "name": f"hash {name}", "inputs": inputs, "outputs": [{"path": "*.sha256", "to": "results"}],
            "steps": [{"argv": ["sha256sum", "--", *group], "stdout": f"{name}.sha256"}],
        }  # fmt: skip
        yield {
            "name": f"compress {name}", "inputs": inputs,
            "outputs": [{"path": "compressed/*.gz", "to": "results"}],
            "steps": ["mkdir compressed"]
            + [{"argv": ["gzip", "-n", "-9", "-c", "--", each], "stdout": f"compressed/{each}.gz"} for each in group],
        }  # fmt: skip
        yield {
            "name": f"sum {name}", "inputs": inputs, "outputs": [{"path": f"{name}.*", "to": "results"}],
            "steps": [
                {"argv": ["cksum", "--", *group], "stdout": f"{name}.cksum"},
                {"argv": ["wc", "--", *group], "stdout": f"{name}.wc"},
            ],
        }  # fmt: skip
    yield {"name": "fails on purpose", "command": "echo 'this one fails on purpose' >&2; exit 3"}


def main():
    target = Path(sys.argv[1])
    files = chosen(int(sys.argv[2]) if len(sys.argv) > 2 else 300)
    listed = [f"  - {json.dumps(task, ensure_ascii=False)}\n" for task in tasks(files)]
    defaults = "{resources: {cpu: 0.1, ram: 20 MB, walltime: 5m}}"
    target.write_text(f"format: 1\ndefaults: {defaults}\ntasks:\n{''.join(listed)}", encoding="utf-8")
    names = "".join(f"{name}\t{path}\n" for name, path in files.items())
    target.with_name("files.txt").write_text(names, encoding="utf-8")
    print(f"{len(files)} files, {len(listed)} tasks in {target}")


main()
