package policylayer

decision contains {"effect": "deny", "rule": "type"} if {
	amount := object.get(input.args, "amount", null)
	not is_number(amount)
}

decision contains {"effect": "allow", "rule": "number"} if is_number(input.args.amount)
