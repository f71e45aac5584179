"""Try the whole product on what must not break it: `python -m tests.campaign`, from the project's root.

Prints tried / right / failed, a line for each row, and writes docs/reliability.md. The same seed tries the same. Exit code
1 if anything failed. The long form takes about an hour on two cores; --rows tries a part of it again and puts that part in
its place in the page. --short, which CI runs, writes nothing.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Collection
from pathlib import Path

from tests.campaign import clients, custody, faults, hostile, kills, malformed, names, page
from tests.campaign.server import Server
from tests.campaign.tally import Campaign

# With the one server that these rows share; what another client may break comes last.
SERVED: dict[str, Callable[[Campaign, Server], None]] = {
    "malformed": malformed.mutants,
    "carried": malformed.carried,
    "clients": clients.clients,
    "names": names.planted,
    "hostile": hostile.hostile,
    "custody": custody.custody,
}
ALONE: dict[str, Callable[[Campaign], None]] = {
    "predict": malformed.on_the_command_line,
    "faults": faults.afterwards,
    "kills": kills.kills,
}


def run(campaign: Campaign, rows: Collection[str], short: Collection[str]) -> None:
    """The rows asked for, some of them in short; uploads are broken off first, as a minute has to pass before they are
    looked for.
    """
    served = [row for row in SERVED if row in rows]
    if served or "faults" in rows:
        (campaign.work / "server").mkdir()
        with Server(campaign.work / "server") as server:
            campaign.part, campaign.short = "faults", "faults" in short
            broken = faults.Broken(campaign, server) if "faults" in rows else None
            for row in served:
                if row == "custody" and broken is not None:
                    campaign.part = "faults"
                    broken.judge()
                    broken = None
                campaign.part, campaign.short = row, row in short
                SERVED[row](campaign, server)
            if broken is not None:
                campaign.part = "faults"
                broken.judge()
    for row in ALONE:
        if row in rows:
            campaign.part, campaign.short = row, row in short
            ALONE[row](campaign)
    campaign.finish()


def main() -> int:
    every = [*SERVED, *ALONE]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", nargs="*", choices=every, metavar="ROW", help="a few of each row, or of these alone")
    parser.add_argument("--seed", type=int, default=18, help="of all that is drawn (%(default)s)")
    parser.add_argument("--rows", nargs="+", choices=every, metavar="ROW", help=f"only some of {', '.join(every)}")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="copy the files of failures here")
    given = parser.parse_args()
    warnings.filterwarnings("ignore", module="pydicom|zipfile")  # of what is written wrong on purpose
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="campaign-", ignore_cleanup_errors=True) as folder:
        short = (given.short or every) if given.short is not None else []
        campaign = Campaign(given.seed, bool(short), Path(folder), given.keep)
        run(campaign, given.rows or every, short)
    if given.short is None:
        page.write(campaign, every, page.PAGE)
    failed = sum(len(row.failures) for row in campaign.rows)
    tried = sum(row.tried for row in campaign.rows)
    print(f"{tried} tried, {tried - failed} right, {failed} failed (seed {given.seed}, {time.monotonic() - began:.0f} s)")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
