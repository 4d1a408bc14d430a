r"""Pure: what each diagnostic's code means, with an example that raises it and what to write instead.

`docs/policy-reference.md` lists these, `policylayer explain CODE` prints them, and a golden case holds each to what is
really said. Not imported by what loads policies.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from policylayer.core.immutable import immutable
from policylayer.policy.codes import Code
from policylayer.policy.codes_about_tools import OF_TOOLS


@immutable
class About:
    """What a code means. `example` is the offending part, `fix` what to write or do instead."""

    title: str
    explanation: str
    example: str
    fix: str


_TEXTS: Final = r"""
PL101 not YAML
The file could not be read to its end. What stands after this place has not been checked.
- tools: [search
+ tools: [search]
PL102 not plain UTF-8
Policy files are UTF-8 without a byte order mark. Two readers of other text may read two things.
- a file that begins with EF BB BF
+ save the file as UTF-8 without a mark
PL103 unknown key
A key that is not in the language is never ignored: a misspelt `effect` would change what a rule does.
- efect: deny
+ effect: deny
PL104 a key is written twice
Which of two equal keys counts differs between readers, so neither does.
- effect: allow
- effect: deny
+ effect: deny
PL105 anchors, aliases and merge keys
A value that is written elsewhere is easily changed by accident, and aliases can blow up a small file.
- tools: &writes [create_refund]
+ tools: [create_refund]
PL106 YAML tags
Values have the type they are written with.
- reason: !!str 5
+ reason: "5"
PL107 several documents, or a directive
One file is one policy. Lines that begin with `---` (a second time) or `%` are refused.
- policy: a
- ---
- policy: b
+ two files
PL108 an unquoted value that YAML readers disagree on
YAML 1.1 reads these as true, null, a number, a time of day or a date; JSON's schema reads text. Quote it.
- args.country: no
+ args.country: "no"
PL109 an unquoted `*`, `!`, `@`, `%` or backtick
In YAML these signs begin something else than text.
- tools: [*]
+ tools: ["*"]
PL110 a value is missing
A key without a value is null, which is never meant.
- reason:
+ reason: Records are deleted by people.
PL111 a tab
Tabs stand in quoted texts and comments only.
- 	effect: deny
+   effect: deny
PL112 too large
A file has at most 1 MiB, 50,000 values and 72 levels; a text at most 2,000 characters.
- [[[[…
+ write less, or several files
PL113 an empty file
A file says something, or is removed.
- # nothing yet
+ remove the file
PL114 a control character
Control characters, lone carriage returns and Unicode line separators show differently than they read.
- a NUL byte in a text
+ glob: "a\0b"
PL115 a number that is not exact
A fraction must be the shortest form of its double, an integer must fit in 64 bits: others are never sent.
- args.x: 100.00000000000000001
+ args.x: 100
PL116 a key that is not text
Keys are texts. A key that looks like a number is quoted.
- 1: x
+ "1": x
PL117 a character that turns text around
Invisible direction marks can make a line look different from what it says. A warning.
- a right-to-left override (U+202E) in a comment
+ reason: "\u202e"
PL120 a value of the wrong kind
Lists are lists, even of one; texts, numbers and truths are not taken for one another.
- tools: search
+ tools: [search]
PL121 a key is missing
`policy`, `applies_to` with both its keys, `rules` and a rule's `id` are always written.
- policy: a
- rules: []
+ policy: a
+ applies_to: {principals: ["*"], servers: ["*"]}
+ rules: []
PL122 an empty list, mapping or text
It could be taken to mean all or none, so it is refused everywhere but in `keys: []` and `rules: []`.
- tools: []
+ leave the key out
PL123 not one of the words that may stand here
The words are a closed list.
- effect: permit
+ effect: allow
PL124 not a name
Names of policies, rules and limits have letters, digits, `_`, `-` and dots; principals are `kind:name`.
- id: no deletes
+ id: no-deletes
PL125 not a duration
A number and s, m, h or d.
- expires: 1 hour
+ expires: 1h
PL126 not a time with an offset
RFC 3339, quoted, with its offset from UTC: without one it means another moment elsewhere. In the years 1970 to 9000.
- after: "2026-12-01"
+ after: "2026-12-01T00:00:00+01:00"
PL127 a number out of range
The message says the bound.
- quorum: 0
+ quorum: 1
PL128 keys that cannot stand together
Two keys say what only one may say.
- call: {server: shop, tool: search, method: ping}
+ call: {server: shop, tool: search}
PL130 a file that would not be read
`*.yaml` and `*.rego` are read; `.yml` and other spellings are an error, anything else is a warning.
- payments.yml
+ payments.yaml
PL131 principals.yaml below the root
There is one principals.yaml, at the root of the folder.
- team/principals.yaml
+ principals.yaml
PL132 no policy
A folder without policies is refused: it never means that everything is allowed, nor that rules were removed.
- an empty folder
+ a policy file with `rules: []`
PL133 two policies of one name
`policy/rule` names one rule.
- policy: payments
+ policy: refunds
PL134 not enforced by this build
The language has this, this build does not do it: refused, rather than accepted and ignored.
- risk: [destructive]
+ remove it, or use a build that enforces it
PL135 a file that cannot be read
Links out of the folder, pipes, devices, files over 1 MiB and unreadable ones are reported, never followed.
- payments.yaml -> /etc/passwd
+ a regular file
PL136 two rules of one id
`policy/id` names one rule.
- id: read
+ id: read-reports
PL140 a name that nobody has
An exact principal or group must be in principals.yaml, unless it carries the prefix of a listed issuer.
- principals: [group:finanse]
+ principals: [group:finance]
PL141 a glob that matches nobody
No principal and no group of principals.yaml is meant. A warning: tokens may bring other principals.
- principals: ["agnet:*"]
+ principals: ["agent:*"]
PL142 a group that contains itself
Groups nest, but not in circles.
- a: [group:a]
+ a: [user:x]
PL143 an undeclared attribute
Attributes are declared with their types in principals.yaml.
- principal.tennant: acme
+ principal.tenant: acme
PL144 an attribute of another type
The value is not of the type that `attributes` declares.
- agent:bot: {tenant: 5}
+ agent:bot: {tenant: acme}
PL145 a reserved name
`id`, `kind`, `groups` and `owner` are no attributes; an issuer's prefix is no name for a group of the file.
- attributes: {owner: string}
+ attributes: {team: string}
PL146 a rule that there is not
A test that names no rule, or says `approved` of one that never holds, would show nothing.
- rules: [payments/raed]
+ rules: [payments/read]
PL147 a limit that there is not
A rule names limits of its own file.
- limits: [spned]
+ limits: [spend]
PL148 a server that is not configured
A warning, where the configuration is known.
- servers: [strpe]
+ servers: [stripe]
PL149 a method that the protocol does not have
A warning: no call would ever be of this method.
- methods: [sampling/create]
+ methods: [sampling/createMessage]
PL150 a rule that concerns nothing
A rule names tools, prompts, resources, methods, risk or annotations.
- {id: a, effect: allow}
+ {id: a, methods: ["*"], effect: allow}
PL151 a rule that does nothing
A rule has an effect, a limit or an obligation.
- {id: a, tools: [b]}
+ {id: a, tools: [b], effect: allow}
PL152 a key that never applies
Limits and obligations do nothing in a deny, `approval` nothing where nothing is held.
- {id: a, tools: [b], effect: deny, redact: [args.x]}
+ {id: a, tools: [b], redact: [args.x]}
PL153 a denial without a reason
The agent reads it, and tries something else. A warning.
- {id: a, tools: [b], effect: deny}
+ {id: a, tools: [b], effect: deny, reason: People do this.}
PL154 a rule that ends as time passes
A deny, hold or duty may not end by the clock; `before` (or a negated `after`) is for allows.
- {effect: deny, when: {time: {before: "2027-01-01T00:00:00Z"}}}
+ remove the rule when it is over
PL155 a rule that ends with a membership
A group member with `until` leaves the group, and the deny, hold or duty with it. A warning.
- {effect: deny, principals: [group:visitors]}
+ {effect: allow, principals: [group:visitors]}
PL156 allowed by what the client calls itself
Any client can claim any name. A warning.
- when: {request.client: claude}
+ principals: [agent:claude]
PL157 more approvers than there are
The calls are held until they expire. A warning: groups may grow.
- {approvers: [user:alice], quorum: 2}
+ {approvers: [user:alice, user:bob], quorum: 2}
PL158 a rule that another always beats
A deny beats everything and a hold every allow: where one without conditions covers a rule, that rule never counts.
- {id: clean-up, tools: [delete_draft], effect: allow}
- {id: no-deletes, tools: ["delete_*"], effect: deny}
+ {id: no-deletes, tools: ["delete_*"], effect: deny, except: [{tools: [delete_draft]}]}
PL159 a URL glob that a query leaves
A pattern without `?` matches only URLs without a query, so a deny or hold by it is left by adding one. A warning.
- url_glob: "https://a.com/admin/**"
+ url_glob: "https://a.com/admin/**?**"
PL160 not a path
Segments are letters, digits, `_` and `-`, anything else in double quotes; no indices, no wildcards.
- args.items[0]: x
+ args.items: {some: x}
PL161 a path that there is not
Paths begin with args, input, principal, for, server, method, target, session.labels, request or time.
- arg.amount: 5
+ args.amount: 5
PL162 an unknown matcher
The matchers are a closed list.
- {greater: 5}
+ {gt: 5}
PL163 an operand that the matcher does not take
The reference says what each matcher takes.
- args.tags: [a, b]
+ args.tag: {in: [a, b]}
PL164 literals of several types
A list of literals holds one type.
- {in: [1, two]}
+ {in: ["1", two]}
PL165 null as a literal
A null counts as missing.
- args.x: null
+ args.x: {exists: false}
PL166 matchers that cannot stand together
`exists: false` stands alone, `absent` not beside `exists`, and neither `absent` nor `ignore_case` by itself.
- {exists: false, gt: 5}
+ {exists: false}
PL167 `contains` on a list
It is about texts; a list's elements are asked with `some`.
- principal.groups: {contains: "group:ops"}
+ principal.groups: {some: "group:ops"}
PL168 not a window of time
Two different times of day, quoted, from 00:00 to 23:59.
- between: ["09:00", "24:00"]
+ between: ["09:00", "00:00"]
PL169 `ignore_case` where nothing is folded
It goes with eq, neq, in, not_in and the text matchers.
- {gt: 5, ignore_case: true}
+ {gt: 5}
PL170 not a glob
`*` and `**` are the only wildcards; `? [ ] { } \` are refused, since elsewhere they mean something.
- tools: ["delete_{a,b}"]
+ tools: [delete_a, delete_b]
PL171 a path that is not absolute or not resolved
Directories begin with `/` and have no `.`, `..` or empty segments.
- {within: data}
+ {within: /srv/data}
PL172 not an expression
RE2's syntax; `(?i)` is refused, and with `ignore_case` also what could spell letters (`\p`, `\x`, `\Q`).
- {matches: "(?i)delete"}
+ {matches: delete, ignore_case: true}
PL173 not a host or URL pattern
A host is a name, an address, `*.name` or `*`; a URL pattern has a scheme, a host and a path.
- host: "exa*mple.com"
+ host: "*.example.com"
PL174 not a network
An address and a prefix without host bits.
- cidr: 10.0.0.1/8
+ cidr: 10.0.0.0/8
PL175 not a JSON Schema
JSON Schema 2020-12; nothing is fetched, and what it may take at most must be known.
- schema: {type: strin}
+ schema: {type: string}
PL176 an unknown time zone
A name of the IANA database.
- zone: CET+1
+ zone: Europe/Berlin
PL177 a resource pattern that never matches
URIs are matched in their normal form: paths resolved, no default port, `file:` only as `file:///`.
- resources: ["file://host/srv/**"]
+ resources: ["file:///srv/**"]
PL180 not a limit
`20/hour`, `{calls: 20, per: hour}`, or `{sum: args.amount, max: 100, per: day}`.
- limits: [20/fortnight]
+ limits: [20/14d]
PL181 a counter that the caller chooses
Every new value of the argument begins a new counter. A warning.
- {calls: 5, per: day, by: [args.customer]}
+ when: {args.customer: {in: [a, b]}}
PL182 a limit that another allow lets pass
Limits which must hold belong in a rule without `effect`. A warning.
- {id: few, tools: [a], effect: allow, limits: [5/day]}
+ {id: few, tools: [a], limits: [5/day]}
PL190 a policy test failed
A revision whose tests fail is not activated; the last good one stays.
- expect: {effect: allow}
+ change the rule or the test
PL191 the tests did not come to an end
They took too long, or the process that ran them died; the last good revision stays.
+ run `policylayer test`
PL192 the files could not be read or judged
A missing, locked or restless source, or a machine short of something. The last good revision stays; tried again.
- git:./repo@mian
+ git:./repo@main
"""
"""Code and title; what it means; `-` an example; `+` what to write instead."""


def read(texts: str) -> Iterator[tuple[str, About]]:
    """The codes and meanings of a text like the one above."""
    for block in re.split(r"\n(?=PL\d)", texts.strip("\n")):
        head, explanation, *rest = block.split("\n")
        code, _, title = head.partition(" ")
        example = "\n".join(line[2:] for line in rest if line.startswith("- "))
        fix = "\n".join(line[2:] for line in rest if line.startswith("+ "))
        yield code, About(title, explanation, example, fix)


CODES: Final[dict[Code, About]] = {Code(code): about for code, about in read(_TEXTS + OF_TOOLS)}
"""Every code with what it means, in order."""


def explain(code: str) -> str | None:
    """What a code means, for people; None where there is no such code."""
    about = next((about for known, about in CODES.items() if known == code), None)
    return None if about is None else as_text(code, about)


def as_text(code: str, about: About) -> str:
    """A code's meaning, for people."""
    parts = [f"{code}: {about.title}", "", about.explanation]
    for label, text in (("For example", about.example), ("Instead", about.fix)):
        if text:
            parts += ["", f"{label}:", *(f"    {line}" for line in text.split("\n"))]
    return "\n".join(parts) + "\n"
