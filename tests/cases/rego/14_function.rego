package policylayer

decision contains {"effect": "allow", "rule": "f"} if twice(input.args.amount) > 10
twice(x) := x * 2
