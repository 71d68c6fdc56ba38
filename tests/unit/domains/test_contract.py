"""Every domain keeps to the contract, and the contract notices who does not (D1, D31)."""

from __future__ import annotations

import pyarrow as pa
import pytest

from levada.domains.declaration import Derived, Domain, Metric, Rollup, Time
from levada.domains.registry import registered
from levadactl import domain_contract as contract
from levadactl.domain_contract import CHECKS, Check, Subject
from levadactl.domain_samples import SAMPLES

ISO = Time(columns=("t",), formats=("iso",))
ROW = {"t": "2025-12-01T00:00:00Z", "n": 2}


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", SAMPLES)
def test_a_domain_keeps_to_the_contract(name: str, check: Check) -> None:
    check(Subject(registered()[name], SAMPLES[name].good))


@pytest.mark.parametrize("name", [name for name, domain in registered().items() if domain.derive is None])
def test_examples_can_be_made_up_from_a_declaration(name: str) -> None:
    domain = registered()[name]

    contract.every_example_is_taken(Subject(domain, contract.made_up(domain)))


def of_neighbours(rows: pa.Table) -> Derived:
    """Wrong: the value of a row is how many there are."""
    n = rows.num_rows
    return Derived(pa.table({"at": pa.array(range(n), pa.int32()), "metric": ["n"] * n, "value": [float(n)] * n}))


def twice(rows: pa.Table) -> Derived:
    """Wrong: the same metric twice in a row."""
    at = [*range(rows.num_rows)] * 2
    return Derived(pa.table({"at": pa.array(at, pa.int32()), "metric": ["n"] * len(at), "value": [1.0] * len(at)}))


def derived(function: object) -> Domain:
    return Domain(name="d", time=ISO, further={"n": "number"}, derive=function)  # type: ignore[arg-type]


WIDE = Domain(name="d", time=ISO, metrics={"n": Metric("n", 0, 1)})
WRONG: dict[str, tuple[Check, Domain, dict[str, object]]] = {
    "an example that is no row": (contract.every_example_is_taken, WIDE, ROW | {"n": "two"}),
    "a function that looks at the neighbours": (contract.neighbours_do_not_matter, derived(of_neighbours), ROW),
    "a metric that stands twice": (contract.every_row_has_an_identity_of_its_own, derived(twice), ROW),
    "a rollup that is called as another": (
        contract.rollups_have_names_of_their_own,
        Domain(
            name="d",
            time=ISO,
            events={"entity_id": "n"},
            constants={"entity_type": "x", "event_type": "y"},
            rollups=(Rollup(metric="a"), Rollup(metric="a", by=("site",))),
        ),
        ROW,
    ),
    "a success that no example is": (
        contract.a_success_is_one_of_the_examples,
        Domain(
            name="d",
            time=ISO,
            events={"entity_id": "n"},
            constants={"entity_type": "x", "event_type": "y"},
            rollups=(Rollup(metric="a", success={"event_type": ("Y",)}),),
        ),
        ROW,
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_the_contract_notices(what: str) -> None:
    check, domain, example = WRONG[what]

    with pytest.raises(AssertionError):
        check(Subject(domain, [example, dict(example) | {"t": "2025-12-01T00:00:01Z"}]))
