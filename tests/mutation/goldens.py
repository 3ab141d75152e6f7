"""``python -m tests.mutation.goldens BACKEND TASK.yaml``: print the two texts of a golden, to be read and then kept.

The wrapper, which is the same for all batch schedulers, is left out as ``...``; nothing is written anywhere.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from adapter.cli.test import rendered
from adapter.config.load import load_backend
from adapter.config.tasks import load_tasks
from adapter.testkit.golden import more

LEFT_OUT = (
    (r"(?s)# ---- (containers|images) -.*\n}\n(?=.*?\n    # step 1 )", "...\n"),  # how a step's container is started
    (r"(?s)(?<=\n    return 0\n}\n).*?(?=\nrun_steps <)", "..."),  # from the steps to their start
    (r"(?s)(?<= &\nchild=\$!\n).*?(?=\nfinish \"\$code\"\n)", "..."),  # how it waits for them
)


def main(name: str, task: str) -> None:
    backend = load_backend(name).backend
    text = rendered(backend, load_tasks(Path(task)))
    for pattern, words in LEFT_OUT:
        text = re.sub(pattern, words, text)
    sys.stdout.write(f"{text}{'#' * 120}\n{more(backend)}")


if __name__ == "__main__":
    main(*sys.argv[1:])
