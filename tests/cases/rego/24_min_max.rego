package policylayer

decision contains {"effect": "deny", "rule": "max"} if max(input.args.numbers) > 90
decision contains {"effect": "allow", "rule": "min"} if min(input.args.numbers) >= 0
