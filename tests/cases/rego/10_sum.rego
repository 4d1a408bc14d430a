package policylayer

decision contains {"effect": "deny", "rule": "sum"} if sum([x | some x in input.args.numbers]) > 100
