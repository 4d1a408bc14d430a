package policylayer

decision contains {"effect": "allow", "rule": "same"} if input.args.a == input.args.b
