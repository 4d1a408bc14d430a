"""A second evaluator of the policy language, from docs/policy-reference.md alone: slow, plain, no code shared.

Must not import `policylayer` in anything but its tests (`test_*.py`): where both agree, two readings of one text do.
`decide.py` is its top; a policy set is what the YAML files hold, a question is a mapping in the words of the README of
tests/cases/decide.
"""
