"""Row 2: many clients at once, each with a picture of its own of which the answer is known."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from tests.campaign.formats import Files, head, picture
from tests.campaign.malformed import pixels
from tests.campaign.processes import Peak, run
from tests.campaign.server import MOST_BYTES, ROOT, SECONDS, Answer, Server, environment, fetch, segment
from tests.campaign.tally import Campaign

CLIENTS = 32
PATIENCE = 600.0  # seconds for one answer, of 32 that wait for one network
RIGHT = (
    f"each of {CLIENTS} clients at once gets the mask of its own picture, equal to that of predict to the pixel; none is "
    "refused; the whole server stays below 2 GB"
)


def pictures(campaign: Campaign) -> Files:
    """A head of its own for each client, all under one name: a mix-up would be seen."""
    return [("slice.png", picture(head(campaign.seed * 1000 + n, 1).flair[0], "PNG")) for n in range(CLIENTS)]


def known_masks(campaign: Campaign, files: Files) -> list[np.ndarray]:
    """What predict outlines of each."""
    folder = campaign.work / "known"
    for n, (name, content) in enumerate(files):
        place = folder / "in" / f"client{n}"
        place.mkdir(parents=True)
        (place / name).write_bytes(content)
    command = ["-m", "lgg_demo.predict", str(folder / "in"), "--out", str(folder / "out")]
    ran = run(command, 10 * SECONDS, environment(folder / "tmp"), ROOT)
    assert ran.code == 0, ran.err
    return [pixels((folder / "out" / f"client{n}" / "slice_mask.png").read_bytes()) for n in range(len(files))]


def clients(campaign: Campaign, server: Server) -> None:
    """All ask at the same moment, and again after each answer."""
    files = pictures(campaign)
    known = known_masks(campaign, files)
    assert len({mask.tobytes() for mask in known}) > CLIENTS / 2, "the answers can be told from each other"
    rounds = campaign.size(1, 10)
    campaign.row(f"{CLIENTS} clients at once, {rounds} rounds", RIGHT)
    together = threading.Barrier(CLIENTS)
    server.new_log()

    def ask(client: int) -> list[str]:
        together.wait()
        return [why_wrong(server, segment(server.address, [files[client]], PATIENCE), known[client]) for _ in range(rounds)]

    with Peak(server.pid) as peak, ThreadPoolExecutor(CLIENTS) as pool:
        answers = list(pool.map(ask, range(CLIENTS)))
    for client, reasons in enumerate(answers):
        for round_, why in enumerate(reasons):
            campaign.judge(f"client {client}, round {round_}", why)
    log = server.new_log()
    campaign.rows[-1].note = f"at most {peak.bytes / 1e9:.1f} GB"
    campaign.judge("memory", f"{peak.bytes / 1e9:.1f} GB" if peak.bytes > MOST_BYTES else "")
    campaign.judge("log", f"traceback: {log.strip().splitlines()[-1]}" if "Traceback" in log else "")


def why_wrong(server: Server, answer: Answer, known: np.ndarray) -> str:
    if answer.report is None:
        return answer.error[:300] or "no answer"
    return "" if np.array_equal(pixels(fetch(server.address, answer.files[0])), known) else "another mask"
