package policylayer

default decision := {"effect": "deny", "rule": "default"}
decision := {"effect": "allow", "rule": "ok"} if input.args.amount == 7
