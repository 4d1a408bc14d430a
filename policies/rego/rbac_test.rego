package policylayer

reader := {"id": "agent:helpdesk", "groups": ["group:readers"], "attributes": {"tenant": "acme"}}

test_a_reader_may_look if {
	found := decision with input as {"principal": reader, "target": "search", "args": {}}
	found == {{"effect": "allow", "rule": "role"}}
}

test_another_tenant_is_denied if {
	found := decision with input as {"principal": reader, "target": "get_ticket", "args": {"tenant": "other"}}
	some each in found
	each.effect == "deny"
}
