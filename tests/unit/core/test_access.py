"""Who is let in: every case of a token, and that none of one tenant reaches another's rows (D34)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from levada.core import access
from levada.core.access import ADMIN, ANY_TENANT, OPEN, READ, REQUIRED, WRITE, Caller, DeniedError, Token
from levada.core.errors import UnavailableError

NOW_S = 1_767_225_600.0
TEXT = "lvd_" + "a" * 43
OTHER = "lvd_" + "b" * 43


def token(text: str = TEXT, **changed: Any) -> Token:
    made = Token(
        digest=access.digest_of(text),
        name="meter-7",
        tenant="north",
        scopes=(READ,),
        created_s=int(NOW_S) - 60,
        expires_s=int(NOW_S) + 3600,
    )
    return dataclasses.replace(made, **changed)


class Table:
    """Items by digest, and how often one was asked for."""

    def __init__(self, *tokens: Token) -> None:
        self.items: dict[str, Mapping[str, Any]] = {one.digest: one.to_item() for one in tokens}
        self.asked: list[str] = []
        self.down = False

    def find(self, digest: str) -> Mapping[str, Any] | None:
        self.asked.append(digest)
        if self.down:
            raise UnavailableError("the table is down")
        return self.items.get(digest)


def admit(
    table: Table,
    header: str | None = f"Bearer {TEXT}",
    *,
    asked: Sequence[str] = (),
    scope: str = READ,
    auth: str = REQUIRED,
    memo: dict[str, Any] | None = None,
    now_s: float = NOW_S,
    name: str = "Authorization",
) -> Caller:
    return access.admit(
        {"Accept": "*/*"} | ({} if header is None else {name: header}),
        asked,
        scope,
        auth=auth,
        default="default",
        find=table.find,
        memo={} if memo is None else memo,
        now_s=now_s,
    )


def empty() -> dict[str, Any]:
    """What a new process remembers."""
    return {}


def refusal(table: Table, *args: Any, **kwargs: Any) -> DeniedError:
    with pytest.raises(DeniedError) as denied:
        admit(table, *args, **kwargs)
    return denied.value


@pytest.mark.parametrize("name", ["Authorization", "authorization", "AUTHORIZATION"])
@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER "])
def test_a_token_is_found_however_the_header_is_spelt(name: str, scheme: str) -> None:
    assert admit(Table(token()), f"{scheme} {TEXT}", name=name) == Caller("meter-7", "north", bound=True)


@pytest.mark.parametrize(
    ("header", "says"),
    [
        (None, "no token: send the header Authorization"),
        ("", "no token: send the header Authorization"),
        (TEXT, "holds no token of levada"),
        (f"Basic {TEXT}", "holds no token of levada"),
        ("Bearer", "holds no token of levada"),
        (f"Bearer {TEXT}x", "holds no token of levada"),
        (f"Bearer {TEXT[:-1]}", "holds no token of levada"),
        (f"Bearer {TEXT[:-1]}é", "holds no token of levada"),
        (f"Bearer {TEXT}, Bearer {OTHER}", "holds no token of levada"),
        (f"Bearer {TEXT[:-1]}\n", "holds no token of levada"),
    ],
)
def test_what_is_no_token_is_401_and_costs_no_look_at_the_table(header: str | None, says: str) -> None:
    table = Table(token())
    denied = refusal(table, header)

    assert (denied.status, table.asked) == (401, [])
    assert says in str(denied)
    assert denied.headers["WWW-Authenticate"].startswith('Bearer realm="levada"')
    assert denied.says == {"needs": {"scope": "read"}}


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"digest": access.digest_of(OTHER)}, "the token is not known here"),
        ({"expires_s": int(NOW_S)}, "the token 'meter-7' has expired"),
        ({"revoked_s": int(NOW_S) - 1}, "the token 'meter-7' was revoked"),
    ],
)
def test_a_token_that_is_unknown_over_or_revoked_is_401(changed: dict[str, Any], says: str) -> None:
    denied = refusal(Table(token(**changed)))

    assert (denied.status, str(denied)) == (401, says)
    assert denied.headers == {"WWW-Authenticate": 'Bearer realm="levada", error="invalid_token"'}


def test_an_item_that_is_of_another_token_opens_nothing() -> None:
    """A store that answers with the wrong item must not let anybody in."""
    table = Table()
    table.items[access.digest_of(TEXT)] = token(OTHER).to_item()

    assert refusal(table).status == 401


@pytest.mark.parametrize(
    ("scopes", "scope", "let_in"),
    [
        ((READ,), READ, True),
        ((READ,), WRITE, False),
        ((READ,), ADMIN, False),
        ((WRITE,), READ, False),
        ((WRITE,), WRITE, True),
        ((READ, WRITE), ADMIN, False),
        ((ADMIN,), READ, True),
        ((ADMIN,), WRITE, True),
        ((ADMIN,), ADMIN, True),
    ],
)
def test_a_scope_lets_in_what_it_says_and_admin_everything(scopes: tuple[str, ...], scope: str, let_in: bool) -> None:
    table = Table(token(scopes=scopes))
    if let_in:
        assert admit(table, scope=scope).name == "meter-7"
        return
    denied = refusal(table, scope=scope)
    assert (denied.status, denied.says) == (403, {"needs": {"scope": scope}})
    assert denied.headers["WWW-Authenticate"].endswith(f'error="insufficient_scope", scope="{scope}"')
    assert f"this needs {scope}" in str(denied)


@pytest.mark.parametrize(
    ("tenant", "asked", "about"),
    [
        ("north", [], "north"),
        ("north", ["north"], "north"),
        ("north", ["south"], None),
        ("north", ["north", "south"], None),
        ("north", ["default"], None),
        ("north", ["*"], None),
        (ANY_TENANT, [], "default"),
        (ANY_TENANT, ["south"], "south"),
    ],
)
def test_a_token_speaks_for_its_tenant_and_names_no_other(tenant: str, asked: list[str], about: str | None) -> None:
    table = Table(token(tenant=tenant, scopes=(ADMIN,)))
    if about is None:
        denied = refusal(table, asked=asked)
        assert (denied.status, denied.says["needs"]["tenant"]) == (403, next(one for one in asked if one != tenant))
    else:
        assert admit(table, asked=asked) == Caller("meter-7", about, bound=tenant != ANY_TENANT)


NAMES = st.sampled_from(["a", "b", "ab", "A", "a.b", "*", "default", ""]) | st.text(max_size=8)
TENANTS = st.from_regex(access.TENANT, fullmatch=True)


@given(st.lists(TENANTS, min_size=1, max_size=4), st.integers(0, 3), st.lists(NAMES | TENANTS, max_size=3), st.data())
def test_whatever_is_asked_nobody_is_let_to_another_tenant(
    tenants: list[str], which: int, asked: list[str], data: st.DataObject
) -> None:
    """D34: of a table of tokens, each of one tenant, the bearer of one is let in to that one's rows, or not at all."""
    texts = [f"lvd_{n:043d}" for n in range(len(tenants))]
    scopes = [data.draw(st.sampled_from([(READ,), (WRITE,), (ADMIN,), (READ, WRITE)])) for _ in tenants]
    rows = zip(texts, tenants, scopes, strict=True)
    table = Table(*(token(text, tenant=tenant, scopes=some) for text, tenant, some in rows))
    mine = which % len(texts)
    memo: dict[str, Any] = {}
    for text in [*texts, texts[mine]]:  # whoever asked before must not matter
        try:
            caller = admit(table, f"Bearer {text}", asked=asked, memo=memo)
        except DeniedError:
            continue
        own = tenants[texts.index(text)]
        assert caller == Caller("meter-7", own, bound=True)
        assert set(asked) <= {own}
        for other in {*tenants, *asked} - {own}:
            with pytest.raises(DeniedError):
                caller.check(other)


def test_where_no_token_is_wanted_nothing_is_looked_at() -> None:
    table = Table()

    assert admit(table, None, auth=OPEN) == Caller("", "default")
    assert admit(table, "Bearer x", asked=["south"], auth=OPEN) == Caller("", "south")
    assert table.asked == []


@pytest.mark.parametrize("auth", ["", "open", "required", "no"])
def test_any_other_setting_than_open_wants_a_token(auth: str) -> None:
    assert refusal(Table(), None, auth=auth).status == 401


def test_a_good_token_is_looked_up_once_a_minute_and_a_revocation_counts_then() -> None:
    table, memo = Table(token()), empty()
    for at in (0.0, 30.0, 59.9):
        admit(table, memo=memo, now_s=NOW_S + at)
    assert len(table.asked) == 1

    table.items[token().digest] = token(revoked_s=int(NOW_S)).to_item()
    assert admit(table, memo=memo, now_s=NOW_S + 59.9).name == "meter-7"
    assert refusal(table, memo=memo, now_s=NOW_S + 60).status == 401
    assert len(table.asked) == 2


def test_a_remembered_token_expires_on_the_second() -> None:
    table, memo = Table(token(expires_s=int(NOW_S) + 10)), empty()

    assert admit(table, memo=memo).name == "meter-7"
    assert refusal(table, memo=memo, now_s=NOW_S + 10).status == 401
    assert len(table.asked) == 1


def test_an_unknown_token_is_remembered_for_seconds_only() -> None:
    table, memo = Table(), empty()
    for _ in range(5):
        assert refusal(table, memo=memo).status == 401
    assert len(table.asked) == 1

    table.items[token().digest] = token().to_item()
    assert admit(table, memo=memo, now_s=NOW_S + access.UNKNOWN_S).name == "meter-7"


def test_what_is_remembered_is_bounded_and_strangers_do_not_push_out_friends() -> None:
    table, memo = Table(token()), empty()
    admit(table, memo=memo)
    for n in range(access.MAX_REMEMBERED + 50):
        refusal(table, f"Bearer lvd_{n:043d}", memo=memo)
    admit(table, memo=memo)

    assert {name: len(one) for name, one in memo.items()} == {"tokens": 1, "no_tokens": access.MAX_REMEMBERED}
    assert table.asked.count(token().digest) == 1
    for n in range(access.MAX_REMEMBERED + 50):
        text = f"lvd_{n:043d}"
        admit(Table(token(text)), f"Bearer {text}", memo=memo, now_s=NOW_S + 10)
    assert len(memo["tokens"]) == access.MAX_REMEMBERED


def test_a_table_that_is_down_is_neither_an_open_door_nor_a_wrong_token() -> None:
    table, memo = Table(token()), empty()
    table.down = True
    with pytest.raises(UnavailableError):
        admit(table, memo=memo)
    table.down = False

    assert admit(table, memo=memo).name == "meter-7"


@pytest.mark.parametrize(
    "changed",
    [
        {"tenant": "a/b"},
        {"tenant": ""},
        {"scopes": "read root"},
        {"scopes": ""},
        {"expires_at": None},
        {"expires_at": "soon"},
        {"name": "x y"},
    ],
)
def test_an_item_that_nobody_of_us_wrote_opens_no_door(changed: dict[str, Any]) -> None:
    table = Table(token())
    table.items[token().digest] = token().to_item() | changed

    assert refusal(table).status == 401


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"tenant": "a/b"}, "tenant 'a/b': must be 1 to 64 letters"),
        ({"tenant": "-a"}, "tenant '-a': must be 1 to 64 letters"),
        ({"tenant": "x" * 65}, "must be 1 to 64 letters"),
        ({"scopes": ("read", "root")}, "scope 'root': must be read, write, admin"),
        ({"scopes": ()}, "scope '': must be read, write, admin"),
        ({"name": ""}, "name '': must be 1 to 64 letters"),
    ],
)
def test_a_token_is_never_made_with_a_field_that_means_nothing(changed: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        token(**changed)


@given(TENANTS, st.sets(st.sampled_from(access.SCOPES), min_size=1), st.none() | st.integers(0, 2**40))
def test_an_item_is_the_token_again(tenant: str, scopes: set[str], revoked_s: int | None) -> None:
    made = token(tenant=tenant, scopes=tuple(scopes), revoked_s=revoked_s)

    assert Token.of(made.to_item()) == made
    assert TEXT not in str(made.to_item())


@given(st.text(max_size=60))
def test_a_refusal_never_repeats_what_was_sent(sent: str) -> None:
    for header in (f"Bearer {TEXT}", f"{TEXT}{sent}", f"Basic {TEXT}", f"Bearer {TEXT}{sent or 'x'}"):
        denied = refusal(Table(), header)
        assert TEXT not in f"{denied} {denied.says} {denied.headers}"
