package policylayer

decision contains {"effect": "allow", "rule": "small"} if {
	is_number(input.args.amount)
	input.args.amount < 100
}
