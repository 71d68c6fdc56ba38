"""A shop: transactions with their items, and what customers look at, search for and put into carts (E4–E9)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NotRequired, TypedDict

from levada.domains.declaration import Derived, Domain, Rollup, Time

if TYPE_CHECKING:
    import pyarrow as pa

BEHAVIOUR = ("page_view", "product_view", "search", "add_to_cart", "remove_from_cart", "cart_abandonment")
FIELDS = {"customer": "text", "session": "text", "category": "text", "product": "text", "query": "text",
          "quantity": "number", "price": "number"}  # fmt: skip


class Line(TypedDict):
    """One line of a transaction."""

    product_id: str
    quantity: int
    price: float
    category: NotRequired[str]


def derive(rows: pa.Table) -> Derived:
    """Each row an event of its own (item 0); of a transaction also one per line, with its customer and category."""
    import pyarrow as pa
    import pyarrow.compute as pc

    from levada.domains.nested import lists

    line = {"product_id": pa.string(), "quantity": pa.float64(), "price": pa.float64(), "category": pa.string()}
    found, wrong = lists(rows["items"], Line, pa.struct(list(line.items())))
    is_sale = pc.equal(rows["event_type"], "transaction").combine_chunks()
    parents, lines = pc.list_parent_indices(found), pc.list_flatten(found)
    sold = pa.table({"at": parents.cast(pa.int32())} | {name: lines.field(i) for i, name in enumerate(line)})
    sold = sold.append_column("value", pc.multiply(sold["price"], sold["quantity"]))
    sold = sold.filter(is_sale.take(sold["at"].combine_chunks()))
    refused = _refused(rows, is_sale, sold, wrong)
    totals = sold.group_by("at", use_threads=False).aggregate([("value", "sum"), ("quantity", "sum")])
    all_rows = pa.array(range(rows.num_rows), pa.int32())
    index = pc.index_in(all_rows, totals["at"].combine_chunks())
    own = rows.select(["event_id", *FIELDS]).append_column("at", pa.array(range(rows.num_rows), pa.int32()))
    own = own.append_column("event_type", rows["event_type"]).append_column("attributes", rows["items"])
    own = own.append_column("entity_type", pc.if_else(is_sale, "transaction", "customer"))
    own = own.append_column("entity_id", pc.if_else(is_sale, rows["transaction_id"], rows["customer"]))
    own = own.append_column("value", pc.coalesce(rows["value"], totals["value_sum"].take(index)))
    quantity = pc.coalesce(rows["quantity"], totals["quantity_sum"].take(index))
    own = own.set_column(own.schema.get_field_index("quantity"), "quantity", quantity)
    return Derived(events=pa.concat_tables([own, _items(rows, sold)], promote_options="default"), refused=refused)


def _items(rows: pa.Table, sold: pa.Table) -> pa.Table:
    """An event per line; its entity is the product."""
    import pyarrow as pa

    n, at = sold.num_rows, sold["at"]
    same = rows.take(at)
    return pa.table(
        {
            "at": at,
            "event_type": pa.repeat("transaction_item", n),
            "entity_type": pa.repeat("product", n),
            "entity_id": sold["product_id"],
            "parent_id": same["transaction_id"],
            "customer": same["customer"],
            "session": same["session"],
            "category": sold["category"],
            "product": sold["product_id"],
            "quantity": sold["quantity"],
            "price": sold["price"],
            "value": sold["value"],
        }
    )


def _refused(rows: pa.Table, is_sale: pa.Array, sold: pa.Table, wrong: dict[int, str]) -> list[tuple[int, str, str]]:
    """Transactions that cannot be taken apart."""
    import pyarrow.compute as pc

    out = [(at, "bad_item", why) for at, why in wrong.items()]
    bad = pc.or_(pc.less_equal(sold["quantity"], 0), pc.less(sold["price"], 0))
    out += [
        (at, "bad_item", "quantity must be above 0, and price not below") for at in sold["at"].filter(bad).to_pylist()
    ]
    unnamed = pc.and_(is_sale, pc.equal(rows["transaction_id"], "").combine_chunks())
    out += [(at, "missing_field", "transaction_id=''") for at in pc.indices_nonzero(unnamed).to_pylist()]
    empty = set(pc.indices_nonzero(is_sale).to_pylist()) - set(sold["at"].to_pylist()) - set(wrong)
    return out + [(at, "no_items", "items: a transaction has one at least") for at in sorted(empty)]


CARTS = {"event_type": ("transaction", "cart_abandonment")}
"""How a cart ends: bought, or left."""
SALES, ITEMS = {"event_type": ("transaction",)}, {"event_type": ("transaction_item",)}
SHOP = Domain(
    name="shop",
    about="Transactions, taken apart into items, and the behaviour of customers; live totals per type and category.",
    time=Time(columns=("timestamp",), formats=("iso", "epoch")),
    constants={"entity_type": "customer"},
    events={
        "event_type": "event_type",
        "entity_id": "customer_id",
        "event_id": "event_id",
        "value": "total_amount",
        "customer": "customer_id",
        "session": "session_id",
        "product": "product_id",
    },
    fields=FIELDS,
    event_types=("transaction", *BEHAVIOUR),
    further={"transaction_id": "text", "items": "json"},
    derive=derive,
    needed=("timestamp",),
    window_s=30,
    lateness_s=10,
    rollups=(
        Rollup(metric="events", distinct="customer"),
        Rollup(metric="revenue", value="value", where=SALES, distinct="customer"),
        Rollup(metric="sales", by=("category",), value="value", where=ITEMS, distinct="product"),
        Rollup(metric="quantity", by=("category",), value="quantity", where=ITEMS),
        Rollup(metric="checkout", by=(), where=CARTS, success=SALES),
    ),
)
