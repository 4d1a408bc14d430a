package policylayer

decision := {"effect": "allow", "rule": "deep"} if input.args.a.b.c.d == 1
