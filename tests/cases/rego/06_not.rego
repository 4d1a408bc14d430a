package policylayer

decision contains {"effect": "allow", "rule": "safe"} if not unsafe
unsafe if input.args.force
unsafe if contains(object.get(input.args, "path", ""), "..")
