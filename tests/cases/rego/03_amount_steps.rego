package policylayer

decision contains {"effect": "allow", "rule": "small"} if input.args.amount <= 50
decision contains {"effect": "require_approval", "rule": "large"} if input.args.amount > 50
