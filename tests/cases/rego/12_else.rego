package policylayer

decision := {"effect": "deny", "rule": "x"} if input.args.force
else := {"effect": "allow", "rule": "y"} if input.args.amount > 0
