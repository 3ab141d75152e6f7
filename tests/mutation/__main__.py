"""``python -m tests.mutation [BACKEND...] [--json] [--jobs 2]``: how many breaks of the shipped backends are caught."""

from __future__ import annotations

import argparse
import json
import sys
from concurrent.futures import ProcessPoolExecutor
from typing import TYPE_CHECKING

from tests.mutation.kit import Tried, kit, names, try_one
from tests.mutation.operators import mutations

if TYPE_CHECKING:
    from collections.abc import Sequence

LEAST_SCORE = 0.95
LEAST_BREAKS = 15


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it; return 0, or 1 where too much survives, too little was tried, or a file is not green as it is."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("backends", nargs="*", metavar="BACKEND", help="all that are shipped, if none is named")
    parser.add_argument("--json", action="store_true", help="print every break and what caught it, as JSON")
    parser.add_argument("--jobs", type=int, default=2, help="how many processes (default 2)")
    parser.add_argument("--every", action="store_true", help="every break there is, not the drawn ones only")
    parser.add_argument("--verbose", action="store_true", help="print what caught each break")
    given = parser.parse_args(arguments)
    chosen = given.backends or names()
    work = [(name, index, given.every) for name in chosen for index in range(_count(name, every=given.every))]
    if given.jobs > 1:
        with ProcessPoolExecutor(given.jobs) as pool:
            tried = list(pool.map(try_one, *zip(*work, strict=True), chunksize=12))
    else:
        tried = [try_one(*each) for each in work]
    text = json.dumps([_data(each) for each in tried], indent=1) if given.json else report(tried, verbose=given.verbose)
    sys.stdout.write(f"{text}\n")
    return 0 if _is_good(tried, chosen) else 1


def _count(name: str, *, every: bool) -> int:
    return len(mutations(name, kit(name).merged.document, every=every))


def _data(one: Tried) -> dict[str, str | None]:
    return {"backend": one.backend, "kind": one.kind, "what": one.what, "caught_by": one.caught_by}


def _score(tried: Sequence[Tried]) -> float:
    return sum(one.caught_by is not None for one in tried) / max(len(tried), 1)


def _is_good(tried: Sequence[Tried], chosen: Sequence[str]) -> bool:
    return (
        _score(tried) >= LEAST_SCORE
        and all(sum(one.backend == name for one in tried) >= LEAST_BREAKS for name in chosen)
        and not any(kit(name).red for name in chosen)
    )


def report(tried: Sequence[Tried], *, verbose: bool = False) -> str:
    """Return the table: caught and survived by backend and in all, and the survivors."""
    lines = [f"{'BACKEND':<18} {'TRIED':>5} {'CAUGHT':>6} {'SURVIVED':>8}"]
    for name in dict.fromkeys(one.backend for one in tried):
        mine = [one for one in tried if one.backend == name]
        survived = sum(one.caught_by is None for one in mine)
        red = "".join(f"  not green: {row}" for row in sorted(kit(name).red))
        lines.append(f"{name:<18} {len(mine):>5} {len(mine) - survived:>6} {survived:>8}{red}")
    survivors = [one for one in tried if one.caught_by is None]
    lines.append(f"{'all':<18} {len(tried):>5} {len(tried) - len(survivors):>6} {len(survivors):>8}")
    lines.append(f"caught: {_score(tried):.1%}")
    if verbose:
        lines += ["", *(f"{one.backend}: {one.kind}: {one.what} -> {one.caught_by}" for one in tried)]
    if survivors:
        lines += ["", "survivors:", *(f"  {one.backend}: {one.kind}: {one.what}" for one in survivors)]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
