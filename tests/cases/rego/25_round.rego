package policylayer

decision contains {"effect": "allow", "rule": "round"} if round(input.args.amount) == 7
