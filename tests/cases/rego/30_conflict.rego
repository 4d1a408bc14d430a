package policylayer

decision := {"effect": "allow", "rule": "a"} if input.args.amount > 10
decision := {"effect": "deny", "rule": "b"} if input.args.force == true
