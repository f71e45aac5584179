"""Try the whole product on what must not break it: `python -m tests.campaign`, from the project's root.

Prints tried / right / failed, a line for each row, and writes docs/reliability.md. The same seed tries the same. Exit code 1
if anything failed. The long form takes about an hour on two cores; --short, which CI runs, under three minutes.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.campaign import malformed
from tests.campaign.server import Server
from tests.campaign.tally import Campaign

SERVED: dict[str, Callable[[Campaign, Server], None]] = {
    "malformed": malformed.mutants,
    "carried": malformed.carried,
    "predict": malformed.on_the_command_line,
}
ALONE: dict[str, Callable[[Campaign], None]] = {}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="a few of each row; writes no page")
    parser.add_argument("--seed", type=int, default=18, help="of all that is drawn (%(default)s)")
    parser.add_argument("--rows", nargs="+", choices=[*SERVED, *ALONE], metavar="ROW", help=f"of {', '.join([*SERVED, *ALONE])}")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="copy the files of failures here")
    given = parser.parse_args()
    rows = given.rows or [*SERVED, *ALONE]
    with tempfile.TemporaryDirectory(prefix="campaign-") as folder:
        campaign = Campaign(given.seed, given.short, Path(folder), given.keep)
        if any(row in SERVED for row in rows):
            (campaign.work / "server").mkdir()
            with Server(campaign.work / "server") as server:
                for row in (r for r in SERVED if r in rows):
                    SERVED[row](campaign, server)
                    campaign.finish()
        for row in (r for r in ALONE if r in rows):
            ALONE[row](campaign)
            campaign.finish()
    failed = sum(len(row.failures) for row in campaign.rows)
    print(f"{sum(row.tried for row in campaign.rows)} tried, {failed} failed (seed {given.seed})")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
