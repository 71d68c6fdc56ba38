"""Files in the form of public data sets, with a ledger of what must come of them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random


@dataclass(slots=True)
class Made:
    """A file, and what it holds."""

    body: bytes
    counts: Counter[str] = field(default_factory=Counter)
    """rows, bad, empty (lines), values and missing (measurements), out_of_range, events; revenue in cents."""


def household(rows: int, seed: int) -> Made:
    """One in 80 rows has ``?`` in all fields but the last, which is empty then; some are broken."""
    dice, made = Random(seed), Made(b"")
    power = "Global_active_power;Global_reactive_power;Voltage;Global_intensity"
    lines = [f"Date;Time;{power};Sub_metering_1;Sub_metering_2;Sub_metering_3"]
    at = datetime(2006, 12, 16, 17, 24, tzinfo=UTC)
    for i in range(rows):
        when = at + timedelta(minutes=i)
        head = f"{when.day}/{when.month}/{when.year};{when:%H:%M:%S}"
        roll = dice.random()
        if roll < 1 / 80:
            lines.append(f"{head};?;?;?;?;?;?;")
            made.counts.update(rows=1, missing=7)
        elif roll < 1 / 80 + 0.003:
            lines.append(f"{head};4.2x;0.4;234.8;18.4;0;1;17")
            made.counts["bad"] += 1
        elif roll < 1 / 80 + 0.006:
            lines.append(f"31/2/2007;{when:%H:%M:%S};4.2;0.4;234.8;18.4;0;1;17")
            made.counts["bad"] += 1
        elif roll < 1 / 80 + 0.008:
            lines.append(f"{head};4.216;0.418")
            made.counts["bad"] += 1
        else:
            high = roll > 0.999
            volts = 999 if high else 230 + dice.randrange(-900, 900) / 100
            kw = dice.randrange(80, 9000) / 1000
            lines.append(f"{head};{kw:.3f};{kw / 10:.3f};{volts:.3f};{kw * 4.3:.1f};0.000;1.000;17.000")
            made.counts.update(rows=1, values=6 if high else 7, out_of_range=int(high))
        if roll > 0.9995:
            lines.append("")
            made.counts["empty"] += 1
    made.body = ("\r\n".join(lines) + "\r\n").encode()
    return made


def taxi(rows: int, seed: int) -> Made:
    """Trips of an hour or two; one in a hundred has no zone."""
    dice, made = Random(seed), Made(b"")
    lines = ["VendorID,tpep_pickup_datetime,tpep_dropoff_datetime,trip_distance,PULocationID,payment_type,total_amount"]
    at = datetime(2020, 1, 31, 23, 0, tzinfo=UTC)
    for _ in range(rows):
        at += timedelta(seconds=dice.randrange(3))
        cents = dice.randrange(300, 9000) if dice.random() < 0.99 else dice.randrange(100_000, 150_000)
        zone = "" if dice.random() < 0.01 else str(dice.randrange(1, 60))
        begun, ended = (f"{when:%m/%d/%Y %I:%M:%S %p}" for when in (at, at + timedelta(minutes=14)))
        paid = dice.choice(["card", "cash"])
        lines.append(f'{dice.choice([1, 2])},{begun},{ended},{cents / 400:.2f},{zone},{paid},"${cents / 100:,.2f}"')
        made.counts.update({"events": 1, "rows": 1, "revenue": cents} if zone else {"bad": 1})
    made.body = ("\n".join(lines) + "\n").encode()
    return made


KINDS = (("pm25", "µg/m³", 11.5), ("o3", "ppm", 0.04), ("o3", "ppb", 40), ("no2", "ppm", 1))


def openaq(rows: int, seed: int) -> Made:
    """Three parameters of a dozen stations; ozone comes in two units."""
    dice, made = Random(seed), Made(b"")
    lines = ["location,city,country,utc,local,parameter,value,unit,latitude,longitude,attribution"]
    at = datetime(2016, 3, 6, tzinfo=UTC)
    for i in range(rows):
        when = at + timedelta(hours=i // 36)
        name, unit, value = dice.choice(KINDS)
        roll = dice.random()
        shown = -999 if roll < 0.02 else value * 1e6 if roll < 0.03 else value
        utc = f"{when:%Y-%m-%dT%H:%M:%S}.000Z"
        place, last = f'"St. {i % 12}, {i % 3}",Porto,PT', '41.1,-8.6,"[{""name"": ""x""}]"'
        lines.append(f"{place},{utc},{utc},{name},{shown},{unit},{last}")
        if name == "no2":
            made.counts["bad"] += 1
        else:
            what = "missing" if roll < 0.02 else "out_of_range" if roll < 0.03 else "values"
            made.counts.update({"rows": 1, what: 1})
    made.body = ("\n".join(lines) + "\n").encode()
    return made
