# Roles by group, then conditions on the arguments: what people know from OPA, on tool calls.
package policylayer

import data.policylayer.lib

# What each role may call.
permissions := {
	"group:readers": {"list_tickets", "get_ticket", "search"},
	"group:writers": {"create_ticket", "update_ticket"},
}

decision contains {"effect": "allow", "rule": "role"} if {
	some group in input.principal.groups
	input.target in permissions[group]
}

# Only tickets of one's own tenant, whatever the role allows.
decision contains {
	"effect": "deny",
	"rule": "tenant",
	"reason": "Tickets of other tenants are out of bounds.",
} if {
	lib.is_ticket_call
	tenant := object.get(input.args, "tenant", "")
	tenant != input.principal.attributes.tenant
}

# Closing many at once needs a lead.
decision contains {
	"effect": "require_approval",
	"rule": "bulk",
	"reason": "Changing more than ten tickets at once needs a lead.",
	"obligations": {"approval": {"approvers": ["group:leads"], "expires": "30m"}, "redact": ["args.comment"]},
} if {
	input.target == "update_ticket"
	count(input.args.ids) > 10
}
