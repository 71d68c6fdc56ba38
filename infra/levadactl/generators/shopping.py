"""A shop: seven of ten events are transactions, the others what customers look at and put into carts (E1, E3–E6).

Every reference is to something that there is: 100 buyers and 50 who look around, 200 products in eight categories, each
with its price. A transaction has one item at least.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from random import Random
from typing import Any

from levadactl.generators.machines import NO_SUCH_DAY, iso, put
from levadactl.generators.model import Break, Made, Plan, cut_short

CATEGORIES = ("books", "toys", "garden", "kitchen", "sports", "music", "shoes", "tools")
BEHAVIOUR = (
    ("page_view", 0.35),
    ("product_view", 0.25),
    ("search", 0.15),
    ("add_to_cart", 0.15),
    ("remove_from_cart", 0.05),
    ("cart_abandonment", 0.05),
)
WORDS = ("wooden train", "jazz", "spade", "knife", "running shoes", "novel", "drill", "puzzle")
BUYERS, VISITORS, PRODUCTS = 100, 50, 200
SALES_SHARE = 0.7


def catalogue(seed: int) -> list[tuple[str, str, float]]:
    """(product, category, price) of everything that there is to buy."""
    dice = Random(f"{seed} catalogue")
    return [
        (f"p-{i:03d}", CATEGORIES[i % len(CATEGORIES)], round(math.exp(dice.uniform(1, 5)), 2))
        for i in range(1, PRODUCTS + 1)
    ]


class Shop:
    """Transactions and behaviour."""

    domain = "shop"
    breaks: Mapping[str, Break] = {
        "not_json": cut_short,
        "not_a_time": put("timestamp", NO_SUCH_DAY),
        "unknown_event_type": put("event_type", "teleport"),
        "missing_field": put("customer_id", ""),
    }

    def events(self, plan: Plan) -> Iterator[Made]:
        dice, goods = Random(f"{plan.seed} shop"), catalogue(plan.seed)
        for i in range(plan.events):
            time_us = plan.time_us(i)
            if dice.random() < SALES_SHARE:
                yield _sale(i, time_us, goods, dice)
            else:
                yield _look(time_us, goods, dice)


def _sale(i: int, time_us: int, goods: list[tuple[str, str, float]], dice: Random) -> Made:
    customer, number = f"c-{dice.randrange(BUYERS):03d}", f"t-{i}"
    lines = [(*goods[at], dice.randint(1, 4)) for at in dice.sample(range(PRODUCTS), dice.randint(1, 5))]
    items = [
        {"product_id": product, "category": category, "quantity": quantity, "price": price}
        for product, category, price, quantity in lines
    ]
    body = {"timestamp": iso(time_us), "event_type": "transaction", "customer_id": customer}
    sold = [
        {
            "entity_type": "product",
            "entity_id": product,
            "event_type": "transaction_item",
            "customer": customer,
            "category": category,
            "product": product,
            "quantity": float(quantity),
            "price": price,
            "value": price * quantity,
        }
        for product, category, price, quantity in lines
    ]
    own = {
        "entity_type": "transaction",
        "entity_id": number,
        "event_type": "transaction",
        "customer": customer,
        "quantity": float(sum(quantity for *_, quantity in lines)),
        "value": math.fsum(one["value"] for one in sold),  # type: ignore[misc]  # numbers all of them
    }
    return Made(time_us, body | {"transaction_id": number, "items": items}, events=(own, *sold), kind="transaction")


def _look(time_us: int, goods: list[tuple[str, str, float]], dice: Random) -> Made:
    what = dice.choices([name for name, _ in BEHAVIOUR], [share for _, share in BEHAVIOUR])[0]
    n = dice.randrange(VISITORS)
    body: dict[str, Any] = {"timestamp": iso(time_us), "event_type": what, "customer_id": f"c-{n:03d}"}
    body["session_id"] = f"s-{n}-{time_us // 600_000_000}"
    if what == "search":
        body["query"] = WORDS[dice.randrange(len(WORDS))]
    elif what != "page_view":
        body["product_id"], body["category"], price = goods[dice.randrange(PRODUCTS)]
        if what != "product_view":
            body |= {"quantity": dice.randint(1, 3), "price": price}
    event = {"entity_type": "customer", "entity_id": body["customer_id"], "event_type": what}
    return Made(time_us, body, events=(event | {"customer": body["customer_id"]},), kind=what)
