package policylayer

decision contains {"effect": "deny", "rule": "type"} if not is_number(input.args.amount)
decision contains {"effect": "allow", "rule": "number"} if is_number(input.args.amount)
