"""Pure: the codes of diagnostics, one list. What each means, with examples, is in `codes_about`.

Must not know where a code is raised. Codes are never reused; whether one is an error or a warning is said where it is
raised.
"""

from __future__ import annotations

from enum import StrEnum


class Code(StrEnum):
    """PL10x-11x the text of a file, 12x shapes, 13x files, 14x names, 15x rules, 16x conditions, 17x patterns,
    18x limits, 19x tests and activation, 40x-41x what servers list. (2xx is the configuration, 3xx is Rego.)"""

    SYNTAX = "PL101"
    ENCODING = "PL102"
    UNKNOWN_KEY = "PL103"
    DUPLICATE_KEY = "PL104"
    ALIAS = "PL105"
    TAG = "PL106"
    DOCUMENTS = "PL107"
    AMBIGUOUS = "PL108"
    UNQUOTED_SIGN = "PL109"
    EMPTY_VALUE = "PL110"
    TAB = "PL111"
    TOO_LARGE = "PL112"
    EMPTY_FILE = "PL113"
    CONTROL_CHARACTER = "PL114"
    INEXACT_NUMBER = "PL115"
    BAD_KEY = "PL116"
    HIDDEN_DIRECTION = "PL117"

    WRONG_KIND = "PL120"
    MISSING_KEY = "PL121"
    EMPTY_COLLECTION = "PL122"
    NOT_A_CHOICE = "PL123"
    BAD_NAME = "PL124"
    BAD_DURATION = "PL125"
    BAD_INSTANT = "PL126"
    OUT_OF_RANGE = "PL127"
    CONFLICTING_KEYS = "PL128"

    UNKNOWN_FILE = "PL130"
    MISPLACED_FILE = "PL131"
    NO_POLICY = "PL132"
    DUPLICATE_POLICY = "PL133"
    NOT_ENFORCED = "PL134"
    UNREADABLE = "PL135"
    DUPLICATE_RULE = "PL136"

    UNKNOWN_NAME = "PL140"
    MATCHES_NOBODY = "PL141"
    GROUP_CYCLE = "PL142"
    UNDECLARED_ATTRIBUTE = "PL143"
    ATTRIBUTE_TYPE = "PL144"
    RESERVED_NAME = "PL145"
    UNKNOWN_RULE = "PL146"
    UNKNOWN_LIMIT = "PL147"
    UNKNOWN_SERVER = "PL148"
    UNKNOWN_METHOD = "PL149"

    NO_TARGET = "PL150"
    DOES_NOTHING = "PL151"
    NEVER_APPLIES = "PL152"
    NO_REASON = "PL153"
    OPENS_BY_ITSELF = "PL154"
    OPENS_WITH_MEMBERSHIP = "PL155"
    CLIENT_CLAIM = "PL156"
    QUORUM = "PL157"
    ALWAYS_BEATEN = "PL158"
    LEFT_BY_QUERY = "PL159"

    BAD_PATH = "PL160"
    UNKNOWN_PATH = "PL161"
    UNKNOWN_MATCHER = "PL162"
    BAD_OPERAND = "PL163"
    MIXED_LITERALS = "PL164"
    NULL_LITERAL = "PL165"
    MEANINGLESS = "PL166"
    CONTAINS_ON_LIST = "PL167"
    BAD_WINDOW = "PL168"
    IGNORE_CASE = "PL169"

    BAD_GLOB = "PL170"
    RELATIVE_PATH = "PL171"
    BAD_REGEX = "PL172"
    BAD_URL = "PL173"
    BAD_CIDR = "PL174"
    BAD_SCHEMA = "PL175"
    UNKNOWN_ZONE = "PL176"
    BAD_RESOURCE = "PL177"

    BAD_LIMIT = "PL180"
    UNCONFINED_BY = "PL181"
    LIMIT_AVOIDABLE = "PL182"

    TEST_FAILED = "PL190"
    TESTS_STOPPED = "PL191"
    NOT_LOADED = "PL192"

    UNKNOWN_TOOL = "PL401"
    MATCHES_NO_TOOL = "PL402"
    UNCOVERED_TOOL = "PL403"
    UNKNOWN_ARGUMENT = "PL404"
    ARGUMENT_MISSING = "PL405"
    ARGUMENT_TYPE = "PL406"
    LIST_ARGUMENT = "PL407"
    IMPOSSIBLE_VALUE = "PL408"
    NO_CALL_FITS = "PL409"
    ARGUMENT_PERHAPS = "PL410"
    TOOLS_UNREADABLE = "PL411"
    TOOLS_CHANGED = "PL412"
    BAD_INPUT_SCHEMA = "PL413"
