"""`redbear-host net list`: the network cards there are."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from typing import Final

from redbear_host.cli import cards, tables

HELP: Final = "list network cards: address, link, counters, and who has joined them"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--json", action="store_true", help="print JSON, with the card's counters")


def run(args: argparse.Namespace) -> int:
    """Print a line per card."""
    found = [cards.look(args.mount / name) for name in cards.names(args.mount)]
    if args.json:
        print(json.dumps([asdict(card) for card in found], indent=2))
        return 0
    if not found:
        print("no network card is served; try: redbear-host up --lab e1000")
        return 0
    rows = [["NAME", "ADDRESS", "LINK", "RECEIVED", "SENT", "LOST", "JOINED"]]
    for card in found:
        stats = card.stats
        lost = sum(stats.get(name, 0) for name in ("reader_dropped", "tap_dropped", "tap_bad"))
        counts = [str(stats.get("received", 0)), str(stats.get("sent", 0)), str(lost)]
        link = f"{card.link} Mb/s" if card.link else "down"
        rows.append([card.name, card.mac, link, *counts, ", ".join(card.joins) or "-"])
    print("\n".join(tables.set_out(rows)))
    return 0
