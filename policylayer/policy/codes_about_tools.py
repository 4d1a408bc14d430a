"""Pure: what the codes mean that `check` has for rules held against what servers list; a part of `codes_about`."""

from __future__ import annotations

from typing import Final

OF_TOOLS: Final = r"""
PL401 a tool that its server does not list
An error where it looks like a misspelt one, else a warning: a server may list it to others, or later.
- tools: [create_refnud]
+ tools: [create_refund]
PL402 a glob that matches no tool
No server that the rule concerns lists such a tool. A warning.
- tools: ["remove_*"]
+ tools: ["delete_*"]
PL403 tools that no rule is about
What no rule allows is denied; a tool may be forgotten, or new. A warning.
- a server that lists `export_all`
+ {id: no-exports, tools: [export_all], effect: deny, reason: Ask a person.}
PL404 an argument that the tool does not have
A warning in an allow where the schema leaves room for others and the name is like none of its own; else an error.
- args.amonut: {gt: 5}
+ args.amount: {gt: 5}
PL405 a deny or hold that fires for want of an argument
Some of the tools that the rule concerns have no such argument, and a missing one is an error, so it fires on them.
- {tools: ["*"], when: {args.path: {within: /etc}}, effect: deny}
+ {tools: ["*"], when: {args.path: {within: /etc, absent: no_match}}, effect: deny}
PL406 an argument of another type
Nothing is coerced: of a value of the type that the tool's schema gives it, such a comparison is always an error.
- args.amount: {gt: 0, neq: "5000"}
+ args.amount: {gt: 0, neq: 5000}
PL407 an argument that is a list
What is said of one value is asked of a list's elements.
- args.labels: urgent
+ args.labels: {some: urgent}
PL408 a value that never occurs
The tool's schema lists its values or bounds them. An error where it looks like a misspelt one, else a warning.
- args.currency: {in: [usd, eru]}
+ args.currency: {in: [usd, eur]}
PL409 conditions that no call meets
No call that fits the tool's schema meets the conditions of the rule, taken together. A warning.
- args: {keys: [note]}
+ args: {keys: [amount, note]}
PL410 an argument that may be of another type
The schema lets it be of several types; of the others the matcher is an error, so this deny, hold or duty takes effect.
- args.to: {ends_with: "@example.com"}
+ any: [{args.to: {type: array}}, {args.to: {ends_with: "@example.com"}}]
PL411 recorded tools that cannot be read
A file of recorded tools is a JSON object with a list `tools`, as `policylayer check --record` writes it.
- shop.tools.json with half an object in it
+ policylayer check --record
PL412 a server lists other tools than those recorded
What was checked may not be what is called. A warning of `check --live`.
- a server that has a new tool since
+ policylayer check --record
PL413 an inputSchema that is not read
It is no JSON Schema, or leads to another document, which is never fetched; nothing is checked there. A warning.
- {"$ref": "https://example.com/schema.json"}
+ a schema that holds what it refers to
"""
"""As in `codes_about`."""
