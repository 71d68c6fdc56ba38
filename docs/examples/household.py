"""Power of one household, a row a minute: wide, date and time apart, ``?`` where nothing was measured."""

from levada.domains.declaration import Domain, Metric, Time

HOUSEHOLD = Domain(
    name="household",
    about="Individual household electric power consumption, as UCI publishes it.",
    time=Time(columns=("Date", "Time"), formats=("%d-%m-%Y %H:%M:%S",), zone="Europe/Paris"),
    constants={"site": "sceaux", "series": "main"},
    metrics={
        "Global_active_power": Metric("active_power", 0, 40, uom="kW"),
        "Global_reactive_power": Metric("reactive_power", 0, 10, uom="kW"),
        "Voltage": Metric("voltage", 180, 280, uom="V"),
        "Global_intensity": Metric("current", 0, 100, uom="A"),
        "Sub_metering_1": Metric("kitchen", 0, uom="Wh"),
        "Sub_metering_2": Metric("laundry", 0, uom="Wh"),
        "Sub_metering_3": Metric("heating", 0, uom="Wh"),
    },
    missing=("?",),
    lateness_s=3600,
)
