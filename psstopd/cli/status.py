"""`psstopd status`: what is watched, pending and wrong, read from the journal and the delivery state beside it."""

import argparse
import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

from psstopd import exits
from psstopd.cli import cost
from psstopd.cli.load import load
from psstopd.client.units import size
from psstopd.config import Config
from psstopd.exits import CommandError
from psstopd.journal.cursor import read_delivery, shipper_lock
from psstopd.journal.files import lock_holder
from psstopd.journal.reader import JournalReader, StoredTick
from psstopd.journal.schema import HEALTH_FIELDS, SAMPLE_FIELDS
from psstopd.words import clock, counted, duration

_OVERDUE_INTERVALS = 3


def main(options: argparse.Namespace) -> int:
    """Print the state; exit 3 when no daemon runs."""
    config = load(options.config, ships=False)
    path = config.journal.path
    pid = lock_holder(path)
    if options.cost:
        _print_costs(config, as_json=options.json)
        return exits.OK if pid is not None else exits.NOT_RUNNING
    last, before = _last_ticks(path)
    state = _state(config, pid, last, before)
    if options.json:
        print(json.dumps(state, indent=2))
    else:
        _print(state)
    return exits.OK if pid is not None else exits.NOT_RUNNING


def _print_costs(config: Config, *, as_json: bool) -> None:
    with _readable(config.journal.path):
        ticks = cost.recent(config.journal.path)
    found = cost.costs(ticks)
    if as_json:
        print(cost.as_json(found, config.overhead))
    else:
        cost.show(found, config.overhead, ticks)


def _last_ticks(path: str) -> tuple[StoredTick | None, StoredTick | None]:
    with _readable(path), closing(JournalReader(path)) as journal:
        return journal.last_two()


@contextmanager
def _readable(path: str) -> Iterator[None]:
    """Say what may be wrong where a journal can't be read."""
    try:
        yield
    except sqlite3.Error as error:
        raise CommandError(
            f"journal: {path}: {error}; is this the daemon's config (--config), and may you read there (sudo)?",
            exits.CANNOT_CREATE,
        ) from error


def _state(config: Config, pid: int | None, last: StoredTick | None, before: StoredTick | None) -> dict[str, Any]:
    """Gather everything that status tells; the keys are documented in the README and stay."""
    delivery = read_delivery(config.journal.path) if config.influxdb else None
    health = dict(zip(HEALTH_FIELDS, last.health, strict=True)) if last else dict.fromkeys(HEALTH_FIELDS)
    return {
        "running": pid is not None,
        "pid": pid,
        "rules": len(config.watch),
        "interval_s": config.sampling.interval,
        "journal": config.journal.path,
        "server": config.influxdb.url if config.influxdb else None,
        "shipping": lock_holder(shipper_lock(config.journal.path)) is not None,
        "last_tick": last.time if last else None,
        "names": len(last.samples) if last else 0,
        "unreadable": _sum(last, "unreadable"),
        "pss_bytes": _sum(last, "pss_bytes"),
        **health,
        "cpu_share": _cpu_share(last, before),
        "last_delivery": delivery.delivered_at if delivery else None,
        "last_error": delivery.error if delivery else None,
        "error_since": delivery.error_since if delivery else None,
        "clock_ahead_s": delivery.clock_ahead if delivery else None,
    }


def _sum(tick: StoredTick | None, field: str) -> int:
    index = SAMPLE_FIELDS.index(field)
    return sum(values[index] or 0 for _, values in tick.samples) if tick else 0


def _cpu_share(last: StoredTick | None, before: StoredTick | None) -> float | None:
    """Give psstop's own share of one core between the last two ticks; None over a restart."""
    if last is None or before is None or last.time <= before.time:
        return None
    index = HEALTH_FIELDS.index("self_cpu_us_total")
    used = (last.health[index] or 0) - (before.health[index] or 0)
    return round(used / 1e6 / (last.time - before.time), 5) if used >= 0 else None


def _print(state: dict[str, Any]) -> None:
    now = time.time()
    running = f"running, pid {state['pid']}" if state["running"] else "not running: systemctl start psstop"
    print(f"psstopd    {running}")
    watched = f"{counted(state['names'], 'name')} by {counted(state['rules'], 'rule')}"
    print(f"watching   {watched}, every {state['interval_s']} s")
    print(f"journal    {state['journal']}")
    if state["last_tick"] is None:
        print("last tick  none yet")
        return
    print(
        f"last tick  {duration(now - state['last_tick'])} ago: {counted(state['processes'], 'process')},"
        f" PSS {size(state['pss_bytes'])}, {state['unreadable']} unreadable, took {state['tick_us'] / 1000:.1f} ms,"
        f" {state['late_ticks_total']} late since start"
    )
    if state["running"] and now - state["last_tick"] > _OVERDUE_INTERVALS * state["interval_s"]:
        print("           which is overdue: the log says why (journalctl -u psstop); what is sampled waits in memory")
    if state["server"] is not None:
        _print_delivery(state, now)
    share = "-" if state["cpu_share"] is None else f"{state['cpu_share']:.2%} of a core"
    print(f"own cost   PSS {size(state['self_pss_bytes'])}, CPU {share}")


def _print_delivery(state: dict[str, Any], now: float) -> None:
    sent = "never" if state["last_delivery"] is None else f"{duration(now - state['last_delivery'])} ago"
    print(f"server     {state['server']}")
    print(f"delivered  {sent}; {state['pending_points'] or 0} points pending, {state['dropped_total']} dropped")
    if state["running"] and not state["shipping"]:
        print("shipper    not running: systemctl start psstop-shipper")
    if state["last_error"] is not None:
        print(f"error      for {duration(now - state['error_since'])}: {state['last_error']}")
    if state["clock_ahead_s"]:
        print(f"clock      {clock(state['clock_ahead_s'])}, which may drop points silently: set it right")
