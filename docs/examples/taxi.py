"""Taxi trips, a row a trip: events of the zone where they begin, with 12-hour clocks and amounts like ``$1,012.50``."""

from levada.domains.declaration import Domain, Rollup, Time

TAXI = Domain(
    name="taxi",
    about="Trips in the form of New York's yellow cabs.",
    time=Time(columns=("tpep_pickup_datetime",), formats=("%m/%d/%Y %I:%M:%S %p",), zone="America/New_York"),
    constants={"entity_type": "zone", "event_type": "trip"},
    events={"entity_id": "PULocationID", "value": "total_amount", "distance": "trip_distance", "paid": "payment_type"},
    fields={"distance": "number", "paid": "text"},
    thousands=",",
    decimal=".",
    affixes="$",
    rollups=(
        Rollup(metric="revenue", by=("entity_id",), value="value"),
        Rollup(metric="distance", by=("paid",), value="distance"),
    ),
    window_s=900,
    lateness_s=3600,
)
