"""Pure: the JSON Schemas that editors complete policy files by, printed from the tables that the parsers read with.

`python -m policylayer.policy.schema policy > schemas/policy.schema.json`, and so for each name in `SCHEMAS`; a test
holds the files to it. Draft 7, since that is what editors know. A file that fits may still be refused: what needs more
than one place, or more than one file, is beyond a schema.
"""

from __future__ import annotations

import json
import sys
from typing import Final

from policylayer.core.call import Json
from policylayer.policy.parse_policy import POLICY, SCOPE
from policylayer.policy.parse_principals import PRINCIPALS
from policylayer.policy.parse_tests import TESTS
from policylayer.policy.shapes import Definitions, Record

SCHEMAS: Final[dict[str, tuple[str, Record]]] = {
    "policy": ("A policy file of policylayer", POLICY),
    "scope": ("A scope.yaml of policylayer", SCOPE),
    "principals": ("principals.yaml of policylayer", PRINCIPALS),
    "tests": ("A policy test file (*_test.yaml) of policylayer", TESTS),
}


def schema(name: str) -> dict[str, Json]:
    """The JSON Schema of one kind of file."""
    title, record = SCHEMAS[name]
    definitions: Definitions = {}
    root = record.schema(definitions)
    head: dict[str, Json] = {"$schema": "http://json-schema.org/draft-07/schema#", "title": title}
    return {**head, **root, "definitions": definitions} if definitions else {**head, **root}


def text(name: str) -> str:
    """The file's content."""
    return json.dumps(schema(name), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(text(sys.argv[1]))
