"""A small shop as an MCP server: customers, orders, refunds, notes, mail. What the demo and the tutorials talk to.

`python -m policylayer.examples.shop --port 0` prints `listening on URL`; `--stdio` speaks over standard input; each
speaks both eras. Everything is in memory, the same at each start, and no tool does anything outside this process.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from typing import Annotated, Any, Final, TypeVar

from mcp.server.mcpserver import MCPServer
from mcp_types import ToolAnnotations
from pydantic import Field

from policylayer.examples.hosting import listen

T = TypeVar("T")

READS: Final = ToolAnnotations(read_only_hint=True, open_world_hint=False)
WRITES: Final = ToolAnnotations(read_only_hint=False, destructive_hint=False, open_world_hint=False)
DESTROYS: Final = ToolAnnotations(read_only_hint=False, destructive_hint=True, open_world_hint=False)
REACHES_OUT: Final = ToolAnnotations(read_only_hint=False, destructive_hint=False, open_world_hint=True)

CUSTOMERS: Final[tuple[dict[str, str], ...]] = (
    {"id": "cus_1", "name": "Ada Byron", "email": "ada@example.com", "country": "GB"},
    {"id": "cus_2", "name": "Émile Roux", "email": "emile@example.com", "country": "FR"},
    {"id": "cus_3", "name": "Grace Lee", "email": "grace@example.com", "country": "US"},
)
ORDERS: Final[tuple[dict[str, Any], ...]] = (
    {"id": "ord_1", "customer": "cus_1", "amount": 40.0, "currency": "EUR", "state": "paid"},
    {"id": "ord_2", "customer": "cus_1", "amount": 900.0, "currency": "EUR", "state": "paid"},
    {"id": "ord_3", "customer": "cus_2", "amount": 120.5, "currency": "EUR", "state": "shipped"},
    {"id": "ord_4", "customer": "cus_3", "amount": 15000.0, "currency": "USD", "state": "paid"},
)
FILES: Final[tuple[tuple[str, str], ...]] = (
    ("notes/returns.md", "# Returns\nGoods may be returned within 30 days.\n"),
    ("notes/suppliers.md", "# Suppliers\nNorth: +44 20 7946 0000\n"),
    ("secrets/api-key.txt", "this is not a real key\n"),
)


class Shop:
    """The shop's data, and what can be done with it. A method's message is what the agent reads."""

    def __init__(self) -> None:
        self.customers = {one["id"]: dict(one) for one in CUSTOMERS}
        self.orders = {one["id"]: dict(one) for one in ORDERS}
        self.files = dict(FILES)
        self.refunds: list[dict[str, Any]] = []
        self.outbox: list[dict[str, str]] = []

    def list_customers(self) -> list[dict[str, str]]:
        """All customers."""
        return list(self.customers.values())

    def get_customer(self, id: str) -> dict[str, str]:
        """One customer by id, such as cus_1."""
        return _found(self.customers, id, "customer")

    def delete_customer(self, id: str) -> str:
        """Delete a customer for good."""
        _found(self.customers, id, "customer")
        del self.customers[id]
        return f"customer {id} is deleted"

    def list_orders(self, customer: str | None = None) -> list[dict[str, Any]]:
        """All orders, or those of one customer."""
        return [order for order in self.orders.values() if customer is None or order["customer"] == customer]

    def create_refund(
        self,
        order: Annotated[str, Field(description="the order's id, such as ord_1")],
        amount: Annotated[float, Field(description="how much to pay back", gt=0)],
        currency: Annotated[str, Field(description="ISO 4217, the order's own")] = "EUR",
        note: Annotated[str, Field(description="why")] = "",
    ) -> dict[str, Any]:
        """Pay money back for an order."""
        bought = _found(self.orders, order, "order")
        if currency != bought["currency"]:
            raise ValueError(f"order {order} was paid in {bought['currency']}")
        refunded = sum(one["amount"] for one in self.refunds if one["order"] == order)
        if refunded + amount > bought["amount"]:
            raise ValueError(f"only {bought['amount'] - refunded} {currency} of order {order} can be refunded")
        refund = {"id": f"ref_{len(self.refunds) + 1}", "order": order, "amount": amount, "currency": currency}
        self.refunds.append({**refund, "note": note})
        return refund

    def read_file(self, path: str) -> str:
        """Read a file of the shop, such as notes/returns.md."""
        return _found(self.files, path, "file")

    def write_file(self, path: str, text: str) -> str:
        """Write a file of the shop, over what was there."""
        self.files[path] = text
        return f"{len(text)} characters written to {path}"

    def send_email(self, to: str, subject: str, body: str) -> str:
        """Send an email (it only goes to the demo's own outbox)."""
        self.outbox.append({"to": to, "subject": subject, "body": body})
        return f"sent to {to}"


def _found(things: dict[str, T], id: str, kind: str) -> T:
    if id not in things:
        raise ValueError(f"there is no {kind} `{id}`; there are {_some(things)}")
    return things[id]


def _some(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)[:5]) or "none"


def build(shop: Shop | None = None) -> MCPServer[Any]:
    """The server around a shop."""
    shop = shop or Shop()
    server: MCPServer[Any] = MCPServer("shop", version="1.0.0", instructions="A small shop.", log_level="WARNING")
    tools: list[tuple[ToolAnnotations, tuple[Callable[..., Any], ...]]] = [
        (READS, (shop.list_customers, shop.get_customer, shop.list_orders, shop.read_file)),
        (WRITES, (shop.create_refund,)),
        (DESTROYS, (shop.delete_customer, shop.write_file)),
        (REACHES_OUT, (shop.send_email,)),
    ]
    for hints, functions in tools:
        for function in functions:
            server.add_tool(function, annotations=hints)

    @server.prompt(description="Answer a customer who complains")
    def apology(customer: str) -> str:
        return f"Write a short and honest apology to {shop.get_customer(customer)['name']}."

    @server.resource("shop://terms", description="The terms of sale", mime_type="text/plain")
    def terms() -> str:
        return "Prices include tax. Goods may be returned within 30 days."

    @server.resource("shop://orders/{id}", description="One order", mime_type="application/json")
    def order(id: str) -> dict[str, Any]:
        return _found(shop.orders, id, "order")

    return server


def main() -> None:
    """Serve over HTTP or stdio."""
    parser = argparse.ArgumentParser(prog="python -m policylayer.examples.shop", description="the example shop")
    parser.add_argument("--port", type=int, default=0, help="loopback port; 0: any that is free")
    parser.add_argument("--stdio", action="store_true", help="speak over standard input and output")
    given = parser.parse_args()
    if given.stdio:
        build().run("stdio")
    else:
        listen(build().streamable_http_app(), given.port)


if __name__ == "__main__":
    main()
